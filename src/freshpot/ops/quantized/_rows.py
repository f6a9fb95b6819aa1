"""Rows of a table in few bits: elements packed into bytes, then the row's scale and bias.

An element is ``scale * q + bias``; the first of those that share a byte is in its lowest bits.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class Layout(NamedTuple):
    """How a row is stored: bits of an element, and the type of scale and bias."""

    bits: int
    kind: torch.dtype  # of scale and bias
    #: bits that elements take; more than ``bits`` in tables that only imitate fewer
    room: int

    @property
    def tail(self) -> int:
        """Bytes of scale and bias."""
        return 2 * self.kind.itemsize

    @property
    def per_byte(self) -> int:
        """Elements in a byte."""
        return 8 // self.room

    def columns(self, width: int) -> int:
        """Elements of a row that is ``width`` bytes long."""
        return (width - self.tail) * self.per_byte


def encode(X: Tensor, layout: Layout) -> Tensor:
    """(..., columns) float32 -> (..., bytes) uint8."""
    low, high = X.amin(-1, keepdim=True), X.amax(-1, keepdim=True)
    levels = (1 << layout.bits) - 1
    if layout.kind == torch.float32 and layout.room == layout.bits:
        scale = (high - low) / levels
        inverse = levels / (high - low + 1e-8)
    else:
        low = low.half().float()
        scale = torch.where(high == low, 1.0, (high - low) / levels).half().float()
        inverse = 1 / scale
        hopeless = torch.isinf(inverse)
        scale, inverse = torch.where(hopeless, 1.0, scale), torch.where(hopeless, 1.0, inverse)
    q = torch.round((X - low) * inverse).clamp(0, levels).to(torch.uint8)
    ends = torch.cat((scale, low), -1).to(layout.kind).contiguous().view(torch.uint8)
    return torch.cat((pack(q, layout), ends), -1)


def pack(q: Tensor, layout: Layout) -> Tensor:
    """Several elements into each byte."""
    if layout.per_byte == 1:
        return q
    shifts = torch.arange(layout.per_byte, device=q.device, dtype=torch.int32) * layout.room
    groups = q.int().unflatten(-1, (-1, layout.per_byte))
    return (groups << shifts).sum(-1).to(torch.uint8)


def decode(rows: Tensor, layout: Layout) -> Tensor:
    """(..., bytes) uint8 -> (..., columns) float32."""
    body, tail = rows[..., : -layout.tail], rows[..., -layout.tail :]
    # a copy: memory that starts at an odd byte cannot be read as floats
    ends = tail.clone(memory_format=torch.contiguous_format).view(layout.kind).float()
    return unpack(body, layout).float() * ends[..., :1] + ends[..., 1:]


def unpack(body: Tensor, layout: Layout) -> Tensor:
    """The elements of each byte."""
    if layout.per_byte == 1:
        return body
    shifts = torch.arange(layout.per_byte, device=body.device, dtype=torch.int32) * layout.room
    return ((body.int().unsqueeze(-1) >> shifts) & ((1 << layout.room) - 1)).flatten(-2)


EIGHT = Layout(8, torch.float32, 8)
EIGHT_HALF = Layout(8, torch.float16, 8)


def few(bits: int) -> Layout:
    """2 or 4 bits, with scale and bias in half precision."""
    return Layout(bits, torch.float16, bits)


def imitated(bits: int) -> Layout:
    """As few bits, each in a byte of its own, with scale and bias in single precision."""
    return Layout(bits, torch.float32, 8)
