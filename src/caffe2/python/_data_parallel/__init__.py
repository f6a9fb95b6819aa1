"""Parts of `data_parallel_model`: one model on several devices."""
