"""8 bit tensors, and tables whose rows are stored in 2, 4 or 8 bits."""
