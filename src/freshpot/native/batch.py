"""Where the numbers of a batch lie whose memory runs along its images (C, H, W, N in memory).

Owned here: how far one pixel is from the next. Who calls it: the modules of kernels beside this one; ops/_window,
which makes such memory.

The images of a pixel fill whole vectors; behind the last image there may be room that belongs to none. Kernels may
read and write it, and nothing that is seen depends on what it holds.
"""

from __future__ import annotations

from freshpot.native.machine import lanes

#: numbers: pixels at such a distance, or a multiple, would all fall into the same few lines of a cache
_CLASH = 256


def vectors(N: int) -> int:
    """Vectors that the images of one pixel fill."""
    return -(-N // lanes())


def pitch(N: int) -> int:
    """Numbers from one pixel to the next."""
    width = lanes()
    if not width:
        return N
    whole = -(-N // width) * width
    return whole if whole % _CLASH else whole + width
