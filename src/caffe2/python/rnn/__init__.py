"""Empty, as the original's; recurrent nets are made by `rnn_cell`."""
