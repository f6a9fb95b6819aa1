"""Things that outlive a run: queues, data sets and cursors over them, indices, maps, counts."""
