"""The best path through a sequence of scores."""

from __future__ import annotations

from typing import Any

import torch

from freshpot.errors import ShapeError
from freshpot.paddle._tensor import Tensor, lifted
from freshpot.paddle.nn.layer import Layer

__all__ = ["ViterbiDecoder", "viterbi_decode"]


@lifted
def viterbi_decode(
    potentials: Any, transition_params: Any, lengths: Any, include_bos_eos_tag: bool = True, name: Any = None
) -> Any:
    """The tags whose scores, and whose transitions' scores, add up to most.

    Args:
        potentials: scores of tags, (N, T, K).
        transition_params: scores of going from a tag (row) to another, (K, K).
        lengths: of the sequences, (N,).
        include_bos_eos_tag: the last tag is the start, the one before it the end: the first step adds the start's row
            of transitions, the last the end's.

    Returns:
        the best scores (N,), and the tags (N, longest), zeros behind a sequence's end.

    Raises:
        ShapeError: shapes that do not fit together.
    """
    if potentials.dim() != 3 or transition_params.shape != (potentials.shape[2],) * 2:
        raise ShapeError(
            f"viterbi_decode: potentials {list(potentials.shape)} and transitions {list(transition_params.shape)} must "
            "be (N, T, K) and (K, K)"
        )
    if lengths.shape != potentials.shape[:1]:
        raise ShapeError(f"viterbi_decode: lengths {list(lengths.shape)} must be ({potentials.shape[0]},)")
    longest = int(lengths.max()) if lengths.numel() else 0
    start, end = transition_params[-1], transition_params[-2]
    scores = potentials[:, 0] + start if include_bos_eos_tag else potentials[:, 0]
    if include_bos_eos_tag:
        scores = scores + end * (lengths == 1)[:, None]
    came = []
    for step in range(1, longest):
        best, before = (scores[:, :, None] + transition_params).max(1)
        best = best + potentials[:, step]
        if include_bos_eos_tag:
            best = best + end * (lengths == step + 1)[:, None]
        scores = torch.where((step < lengths)[:, None], best, scores)
        came.append(before)
    found, tag = scores.max(1)
    path = torch.zeros((len(lengths), longest), dtype=torch.int64, device=potentials.device)
    for step in range(longest - 1, -1, -1):
        within = step < lengths
        path[:, step] = torch.where(within, tag, 0)
        if step:
            tag = torch.where(within, came[step - 1].gather(1, tag[:, None])[:, 0], tag)
    return found, path


class ViterbiDecoder(Layer):
    """:func:`viterbi_decode` with transitions of its own."""

    def __init__(
        self, transitions: Tensor, include_bos_eos_tag: bool = True, name: str | None = None
    ) -> None:
        super().__init__()
        self.transitions, self.include_bos_eos_tag, self.name = transitions, include_bos_eos_tag, name

    def forward(self, potentials: Tensor, lengths: Tensor) -> Any:
        """Best scores, and tags."""
        return viterbi_decode(potentials, self.transitions, lengths, self.include_bos_eos_tag)
