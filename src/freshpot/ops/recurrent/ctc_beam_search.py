"""Sequences read from scores that know no borders: the likeliest of those that a beam keeps."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from freshpot.errors import ArgumentError
from freshpot.net.schema import FLOAT, INT, Arg, Port
from freshpot.ops._operator import Operator

_Text = tuple[int, ...]


class CTCBeamSearchDecoder(Operator):
    """The likeliest texts for each sample; class 0 is the blank.

    Shapes:   INPUTS: (T, N, C) probabilities; SEQ_LEN: (N,) int32, by default T -> OUTPUT_LEN:
              (N * num_candidates,) int32; VALUES: (sum of lengths,) int32; OUTPUT_PROB: (N * num_candidates,);
              candidates that are not there have length and probability 0
    Raises:   ArgumentError if ``beam_width`` or ``num_candidates`` is not positive; ShapeError for a length > T.
    Source:   caffe2/operators/ctc_beam_search_decoder_op.cc; Hannun et al., 2014
    """

    inputs = (Port("INPUTS", FLOAT, "T N C"), Port("SEQ_LEN", INT, "N", optional=True))
    outputs = (Port("OUTPUT_LEN"), Port("VALUES"), Port("OUTPUT_PROB", optional=True))
    args = (
        Arg("beam_width", int, 10, "texts that are kept from step to step"),
        Arg("num_candidates", int, 1, "texts for each sample"),
        Arg("prune_threshold", float, 0.001, "classes of less probability are left out"),
    )
    no_gradient = "a text has none"

    def setup(self) -> None:
        if self.beam_width < 1 or self.num_candidates < 1:
            self.refuse("arguments 'beam_width' and 'num_candidates' must be positive.", ArgumentError)

    def kernel(self, X: Tensor, *lengths: Tensor) -> tuple[Tensor, ...]:
        scores = X.cpu().numpy()
        steps = lengths[0].tolist() if lengths else [len(scores)] * scores.shape[1]
        if steps and not 0 <= min(steps) <= max(steps) <= len(scores):
            self.refuse(f"lengths must be from 0 to {len(scores)}, got {min(steps)} to {max(steps)}.")
        sizes: list[int] = []
        values: list[int] = []
        chances: list[float] = []
        for sample, length in enumerate(steps):
            found = self._decode(scores[:length, sample])[: self.num_candidates]
            found += [((), 0.0)] * (self.num_candidates - len(found))
            for text, chance in found:
                sizes.append(len(text))
                values += text
                chances.append(chance)
        return (
            torch.tensor(sizes, dtype=torch.int32, device=X.device),
            torch.tensor(values, dtype=torch.int32, device=X.device),
            torch.tensor(chances, dtype=torch.float32, device=X.device),
        )

    def _decode(self, scores: np.ndarray) -> list[tuple[_Text, float]]:
        """Texts with their probabilities, the likeliest first."""
        zero = np.float32(0)
        blank: dict[_Text, Any] = {(): np.float32(1)}  # chance of each text when the last sign was a blank
        other: dict[_Text, Any] = {(): zero}  # … and when it was not
        kept: list[_Text] = [()]
        ranked: list[tuple[_Text, float]] = []
        for now in scores:
            signs = np.flatnonzero(now > self.prune_threshold).tolist() or list(range(len(now)))
            new_blank: dict[_Text, Any] = {}
            new_other: dict[_Text, Any] = {}

            def add(to: dict[_Text, Any], text: _Text, chance: Any) -> None:
                to[text] = to.get(text, zero) + chance

            among = set(kept)
            for text in sorted(kept):
                was_blank, was_other = blank.get(text, zero), other.get(text, zero)
                for sign in signs:
                    if sign == 0:
                        add(new_blank, text, now[0] * (was_blank + was_other))
                        continue
                    longer = (*text, sign)
                    if text and text[-1] == sign:
                        add(new_other, longer, now[sign] * was_blank)
                        add(new_other, text, now[sign] * was_other)
                    else:
                        add(new_other, longer, now[sign] * (was_blank + was_other))
                    if longer not in among:
                        past_blank, past_other = blank.get(longer, zero), other.get(longer, zero)
                        add(new_blank, longer, now[0] * (past_blank + past_other))
                        add(new_other, longer, now[sign] * past_other)
            blank, other = new_blank, new_other
            total = {t: blank.get(t, zero) + other.get(t, zero) for t in {**blank, **other}}
            ranked = [(t, float(c)) for t, c in sorted(total.items(), key=lambda pair: (-pair[1], pair[0]))]
            kept = [text for text, _ in ranked[: self.beam_width]]
        return ranked

    def infer(self, *_: Any) -> None:
        return None
