"""The best path through scores of states."""

from __future__ import annotations

import torch
from torch import Tensor

from freshpot.net.schema import FLOAT, INT, Arg, Port
from freshpot.ops._operator import Operator


class ViterbiPath(Operator):
    """viterbi_path = the states s whose sum of predictions[t, s_t] and transitions[s_t, s_{t+1}] is greatest.

    Shapes:   predictions: (T, S); transitions: (S, S) -> (T,) int32
    Raises:   ShapeError if there are no steps.
    Source:   caffe2/operators/crf_viterbi_op.cc
    """

    inputs = (Port("predictions", FLOAT, "T S"), Port("transitions", FLOAT, "S S"))
    outputs = (Port("viterbi_path"),)
    gradient_stops = True

    def check(self, predictions: Tensor, transitions: Tensor) -> None:
        if not predictions.numel():
            self.refuse(f"predictions must have steps and states, got {tuple(predictions.shape)}.")

    def kernel(self, predictions: Tensor, transitions: Tensor) -> Tensor:
        best, sources = predictions[0], []
        for scores in predictions[1:]:
            reached, source = (best[:, None] + transitions).max(0)
            sources.append(source)
            best = reached + scores
        path = [int(best.argmax())]
        for source in reversed(sources):
            path.append(int(source[path[-1]]))
        return torch.tensor(path[::-1], dtype=torch.int32, device=predictions.device)

    def infer(self, predictions: Tensor, transitions: Tensor) -> tuple[Tensor, ...]:
        return (predictions.new_empty(predictions.shape[0], dtype=torch.int32),)


class SwapBestPath(Operator):
    """In each row, the score of the path's state changes places with the row's greatest.

    Shapes:   predictions: (T, S); bestPath: (T,) -> as predictions
    Raises:   ShapeError for a state that there is not.
    Source:   caffe2/operators/crf_viterbi_op.cc
    """

    inputs = (Port("predictions", FLOAT, "T S"), Port("bestPath", INT, "T"))
    outputs = (Port("new_predictions"),)
    gradient_stops = True

    def kernel(self, predictions: Tensor, path: Tensor) -> Tensor:
        if len(path) and not 0 <= int(path.min()) <= int(path.max()) < predictions.shape[1]:
            self.refuse(f"states must be from 0 to {predictions.shape[1] - 1}.")
        made = predictions.clone()
        rows = torch.arange(len(path), device=path.device)
        best = predictions.argmax(1)
        made[rows, best] = predictions[rows, path.long()]
        made[rows, path.long()] = predictions[rows, best]
        return made

    def infer(self, predictions: Tensor, path: Tensor) -> tuple[Tensor, ...]:
        return (torch.empty_like(predictions),)


class CTCGreedyDecoder(Operator):
    """The best label of each step, without repeats of the one before and without blanks (label 0).

    Shapes:   INPUTS: (T, N, labels); SEQ_LEN: (N,), T if left out -> OUTPUT_LEN: (N,) int32; VALUES: int32, of all
    Raises:   ShapeError if a sequence is longer than T.
    Source:   caffe2/operators/ctc_greedy_decoder_op.h
    """

    inputs = (Port("INPUTS", FLOAT, "T N L"), Port("SEQ_LEN", INT, "N", optional=True))
    outputs = (Port("OUTPUT_LEN"), Port("VALUES"))
    args = (Arg("merge_repeated", bool, True, "0: repeats stay"),)

    def kernel(self, X: Tensor, *given: Tensor) -> tuple[Tensor, Tensor]:
        steps = X.shape[0]
        lengths = given[0] if given else torch.full((X.shape[1],), steps, device=X.device)
        if lengths.numel() and int(lengths.max()) > steps:
            self.refuse(f"a sequence has {int(lengths.max())} steps, but INPUTS has {steps}.")
        best = X.argmax(2)
        kept = (best != 0) & (torch.arange(steps, device=X.device)[:, None] < lengths)
        if self.merge_repeated:
            before = torch.cat((torch.zeros_like(best[:1]), best[:-1]))
            kept &= best != before
        return kept.sum(0).int(), best.t()[kept.t()].int()
