"""The benchmarks, one subject a module; importing this package declares them all, in the order of the table."""

from freshpot.bench.jobs import lenet, epoch, char_rnn, scripts, start, memory, growth  # noqa: F401, I001
