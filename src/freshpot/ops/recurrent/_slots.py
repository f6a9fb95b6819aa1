"""Blobs of a step net that stand for one time step of a longer tensor.

Owned here: links (inner blob <-> time step of an outer tensor) and moving values through them.
Who calls it: the recurrent network operators.

An outer tensor is held as a list with one tensor of shape (1, ...) a time step, its *slots*; None is a
step that nobody wrote yet. Values move by reference; the whole tensor is put together once, at the end.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from freshpot.errors import NotSupportedError
from freshpot.net.net import Net

if TYPE_CHECKING:
    from freshpot.engine.workspace import Blob, Workspace

Slots = list[Tensor | None]


@dataclass(frozen=True, slots=True)
class Link:
    """At step t, blob ``inner`` of the step net is ``window`` time steps of ``outer`` from t + offset on."""

    inner: str
    outer: str
    offset: int
    window: int = 1


def links(
    inner: Sequence[str], outer: Sequence[str], offset: Sequence[int], window: Sequence[int]
) -> list[Link]:
    """Links from the operators' parallel arguments; ``window`` may be left out."""
    return [Link(*each) for each in zip(inner, outer, offset, window or [1] * len(inner), strict=True)]


def sources(all_links: Iterable[Link], net: Net) -> list[Link]:
    """The links that give a blob its value before a step: of those of one blob, the first."""
    read, written = set(net.missing_inputs()), {name for op in net.ops for name in op.outputs}
    first = {link.inner: link for link in reversed(list(all_links))}
    return [link for link in first.values() if link.inner in read or link.inner not in written]


def targets(all_links: Iterable[Link], net: Net) -> list[Link]:
    """The links that take a blob's value after a step.

    A blob that no operator writes passes from its first link to the others.
    """
    written = {name for op in net.ops for name in op.outputs}
    seen: set[str] = set()
    made = []
    for link in all_links:
        if link.inner in written or link.inner in seen:
            made.append(link)
        seen.add(link.inner)
    return made


class StepPort:
    """A link bound to its blob and its slots. The slots are replaced at every run."""

    __slots__ = ("blob", "link", "offset", "slots", "window")

    def __init__(self, link: Link, blob: Blob) -> None:
        self.link = link
        self.blob = blob
        self.offset = link.offset
        self.window = link.window
        self.slots: Slots = []

    def load(self, t: int) -> None:
        """Let the blob hold its time step."""
        at = t + self.offset
        if self.window == 1:
            self.blob.value = self.slots[at]
            return
        window = self.slots[at : at + self.window]
        if any(slot is None for slot in window):
            link = self.link
            raise NotSupportedError(
                f"blob '{link.inner}' of the step net is {link.window} steps of '{link.outer}', some of which are "
                f"written only in step {t} itself: a window over what the step is about to write is not supported."
            )
        self.blob.value = torch.cat(window)  # type: ignore[arg-type]

    def store(self, t: int) -> None:
        """Let the time step be what the blob holds."""
        at = t + self.offset
        if self.window == 1:
            value, first = self.blob.value, self.slots[0]
            if first is not None and value.shape != first.shape and value.numel() == first.numel():
                value = value.reshape(first.shape)  # the outer tensor's memory decides, not the step net
            self.slots[at] = value
        else:
            self.slots[at : at + self.window] = self.blob.value.split(1)


def bind(made: Iterable[Link], workspace: Workspace) -> list[StepPort]:
    """Ports for links, their blobs made in the step net's own workspace."""
    return [StepPort(link, workspace.create_local(link.inner)) for link in made]


def attach(ports: Iterable[StepPort], slots: Mapping[str, Slots]) -> None:
    """Give the ports the slots of this run."""
    for port in ports:
        port.slots = slots[port.link.outer]


def whole(slots: Sequence[Tensor | None], like: Tensor) -> Tensor:
    """One tensor from its time steps; steps that nobody wrote are zeros of the shape of ``like``."""
    if not slots:
        return like.new_empty((0, *like.shape[1:]))
    return torch.cat([torch.zeros_like(like) if s is None else s for s in slots])
