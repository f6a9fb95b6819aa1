"""Parts of `dataio`: readers that stop early, readers of several sources."""
