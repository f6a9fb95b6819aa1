"""``paddle.reader``: what is done with readers, as in 1.x."""

from freshpot.paddle.io.reader import batch, shuffle

__all__ = ["batch", "shuffle"]
