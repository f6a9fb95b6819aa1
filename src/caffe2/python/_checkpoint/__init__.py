"""Parts of `checkpoint`: jobs, and what saves and loads their blobs."""
