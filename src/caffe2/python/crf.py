"""Conditional random field: the loss of a sequence of labels, for one sequence at a time.

Owned here: the operators that the layer is made of. Who calls it: programs, `crf_predict`.

Source: caffe2/python/crf.py.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from caffe2.python import brew, core, model_helper, recurrent

__all__ = ["CRFWithLoss"]

#: the score of what cannot be
_LOW = -1000.0


class CRFWithLoss:
    """The layer.

    Args:
        model: where parameters and operators go.
        num_classes: how many labels there are, without the two that are added for begin and end.
        transitions_blob: scores (num_classes + 2, num_classes + 2) of label after label; drawn anew by default.
    """

    def __init__(self, model: Any, num_classes: int, transitions_blob: Any = None) -> None:
        self.model = model
        self.num_classes = num_classes
        self.num_classes_padded = num_classes + 2
        if not transitions_blob:
            transitions_blob = model.param_init_net.UniformFill(
                [],
                [core.ScopedBlobReference("crf_transitions")],
                shape=[self.num_classes_padded, self.num_classes_padded],
                min=-1.0,
                max=1.0,
            )
        self.transitions = transitions_blob
        model.params.append(self.transitions)

    def crf_loss(self, predictions: Any, labels: Any, seq_lengths: Any = None) -> Any:
        """The score of all sequences of labels less the score of this one.

        Args:
            predictions: blob (T, num_classes) of scores.
            labels: blob (T,) of labels.
            seq_lengths: taken for programs' sake.
        """
        net, init = self.model.net, self.model.param_init_net
        # updates may run beside the operators that read the parameter
        snapshot = net.Copy(self.transitions, core.ScopedBlobReference("transitions_snapshot"))
        unary = self._gather_entries_sum(predictions, labels, self.num_classes)
        predictions = self.pad_predictions(predictions, init, net, self.num_classes)
        labels = self.pad_labels(labels, init, net, self.num_classes)
        binary = self._path_binary_scores(labels, snapshot)
        path = net.Add([binary, unary], core.ScopedBlobReference("path_total"))
        zero = init.ConstantFill([], shape=[1], value=0)
        first = net.Gather([predictions, zero], core.ScopedBlobReference("rnn_initial"), dense_gradient=True)
        rest, _ = net.RemovePadding([predictions], padding_width=1, end_padding_width=0, outputs=2)
        rest = net.ExpandDims([rest], core.ScopedBlobReference("rnn_input_data"), dims=[1])
        transitions = net.Copy(snapshot, core.ScopedBlobReference("transitions_copy"))
        every = self._crf_forward(rest, first, transitions)
        return net.Sub([every, path], core.ScopedBlobReference("crf_loss"))

    def _path_binary_scores(self, labels: Any, transitions: Any, seq_lengths: Any = None) -> Any:
        """The sum of the transitions that the labels make: looked up in the matrix as one long row."""
        net = self.model.net
        columns, _ = net.RemovePadding([labels], outputs=2, padding_width=1, end_padding_width=0)
        rows, _ = net.RemovePadding([labels], outputs=2, padding_width=0, end_padding_width=1)
        width = net.ConstantFill([rows], value=self.num_classes_padded)
        places = net.Mul([rows, width])
        places = net.Add([places, columns])
        flat = net.FlattenToVec([transitions])
        entries = net.Gather([flat, places], dense_gradient=True)
        return self.model.ReduceFrontSum(entries)

    def _gather_entries_sum(self, in_data: Any, indices: Any, index_size: int) -> Any:
        """The sum of each row's entry of that index."""
        net = self.model.net
        indices = net.Cast([indices], to="int64")
        size = self.model.param_init_net.ConstantFill([], shape=[1], value=index_size)
        query = net.FlattenToVec(net.OneHot([indices, size]))
        scores = net.DotProduct([query, net.FlattenToVec(in_data)])
        return net.ReduceFrontSum([scores])

    def _crf_forward(
        self, input_blob: Any, initial_state: Any, transitions_copy: Any, seq_lengths: Any = None
    ) -> Any:
        """The score of all sequences."""
        net = self.model.net
        last = self.build_crf_net(input_blob, initial_state, transitions_copy)
        last, _ = net.Reshape([last], outputs=2, shape=(self.num_classes_padded,))
        segment = self.model.param_init_net.ConstantFill(
            [], value=0, shape=[self.num_classes_padded], dtype=core.DataType.INT32
        )
        total = net.SortedSegmentRangeLogSumExp([last, segment])
        total, _ = net.Reshape(total, outputs=2, shape=())
        return total

    def build_crf_net(self, input_blob: Any, initial_state: Any, transitions: Any) -> Any:
        """The recurrent net over the sequence; its last state.

        Args:
            input_blob: scores (T, 1, num_classes + 2).
            initial_state: the first step's scores.
            transitions: scores of label after label.
        """
        scope = "crf_net"
        step = model_helper.ModelHelper(name="crf_step", param_model=self.model)
        input_t, before, _ = step.net.AddExternalInputs(
            core.ScopedBlobReference("input_t"), core.ScopedBlobReference("cell_t_prev"), transitions
        )
        size = self.num_classes_padded
        segment = step.param_init_net.ConstantFill(
            [], [f"{scope}/zero_segment_id"], value=0, shape=[size], dtype=core.DataType.INT32
        )
        step.param_init_net.AddExternalOutput(segment)
        turned = brew.transpose(step, before, [f"{scope}/prev_transpose"], axes=(0, 2, 1))
        before_tiled = step.net.Tile(turned, [f"{scope}/prev_tiled"], tiles=size, axis=2)
        input_tiled = step.net.Tile(input_t, [f"{scope}/input_t_tiled"], tiles=size, axis=1)
        both = step.net.Add([before_tiled, input_tiled], [f"{scope}/input_with_prev"])
        every = step.net.Add(
            [both, transitions], [f"{scope}/prev_with_transitions"], broadcast=1, use_grad_hack=1
        )
        every, _ = step.net.Reshape(
            every,
            [f"{scope}/all_with_transitions_reshaped", f"{scope}/all_with_transitions_orig"],
            shape=(size, size),
        )
        cell = step.net.SortedSegmentRangeLogSumExp([every, segment], [f"{scope}/cell_t"])
        step.net.AddExternalOutputs(cell)
        _, last = recurrent.recurrent_net(
            net=self.model.net,
            cell_net=step.net,
            inputs=[(input_t, input_blob)],
            initial_cell_inputs=[(before, initial_state)],
            links={before: cell},
            scope=scope,
            outputs_with_grads=(1,),
        )
        return last

    def update_predictions(self, classes: Any) -> Any:
        """Scores in which the labels of the best sequence have the highest score of their step.

        Args:
            classes: blob (T, num_classes) of scores.
        """
        padded = self.pad_predictions(classes, self.model.param_init_net, self.model.net, self.num_classes)
        return self.model.net.Python(_update_predictions)(
            [padded, self.transitions], core.ScopedBlobReference("post_crf_classes")
        )

    @staticmethod
    def pad_labels(labels: Any, init_net: Any, net: Any, num_classes: int) -> Any:
        """Labels with begin and end."""
        begin = init_net.ConstantFill([], shape=[1], value=num_classes)
        end = init_net.ConstantFill([], shape=[1], value=num_classes + 1)
        labels = net.Cast([labels], to="int64")
        padded, _ = net.Concat([begin, labels, end], axis=0, outputs=2)
        return padded

    @staticmethod
    def pad_predictions(predictions: Any, init_net: Any, net: Any, num_classes: int) -> Any:
        """Scores with two columns more, and a row for begin and one for end."""
        none = [_LOW] * num_classes
        begin = init_net.GivenTensorFill(
            [], "b_scores", shape=[1, num_classes + 2], values=np.array([[*none, 0, _LOW]], np.float32)
        )
        end = init_net.GivenTensorFill(
            [], "e_scores", shape=[1, num_classes + 2], values=np.array([[*none, _LOW, 0]], np.float32)
        )
        zero = net.ConstantFill([], shape=[1], value=0)
        length = net.Cast(net.Gather([net.Shape([predictions]), zero]), to="int32")
        column = net.ConstantFill([net.LengthsRangeFill(length)], value=_LOW)
        column = net.ExpandDims(column, dims=[1])
        wide, _ = net.Concat([predictions, column, column], outputs=2, axis=1)
        padded, _ = net.Concat([begin, wide, end], outputs=2, axis=0)
        return padded


def _update_predictions(inputs: Any, outputs: Any) -> None:
    """Find the best sequence (Viterbi), and swap its scores with the highest ones."""
    scores, transitions = np.array(inputs[0].data), inputs[1].data
    best = np.zeros(scores.shape)
    came_from = np.zeros(scores.shape, dtype=np.int32)
    best[0] = scores[0]
    for t in range(1, len(scores)):
        ways = best[t - 1][:, None] + transitions
        best[t] = scores[t] + ways.max(0)
        came_from[t] = ways.argmax(0)
    path = [int(best[-1].argmax())]
    for step in came_from[:0:-1]:
        path.append(int(step[path[-1]]))
    for row, label in zip(scores, reversed(path), strict=True):
        highest = row.argmax()
        row[label], row[highest] = row[highest], row[label]
    made = scores[1:-1, :-2]
    outputs[0].reshape(made.shape)
    outputs[0].data[...] = made
