"""Attention over the outputs of an encoder, for one step of a decoder.

The functions return the attention-weighted context (1, N, D), the weights (N, T, 1), and the blobs that
the backward step may compute again. Encoder outputs are (T, N, D), transposed (N, D, T).

Source: caffe2/python/attention.py.
"""

from __future__ import annotations

import importlib
from typing import Any

brew: Any = importlib.import_module("caffe2.python.brew")  # its helpers are found at run time


class AttentionType:
    """How the decoder's state is matched with the encoder's outputs."""

    Regular, Recurrent, Dot, SoftCoverage = range(4)


class _Step:
    """One step of attention: the model, the scope of its blobs, the encoder's outputs."""

    def __init__(
        self, model: Any, scope: Any, encoder_outputs_transposed: Any, dim: int, encoder_lengths: Any
    ) -> None:
        self.model, self.net, self.scope = model, model.net, scope
        self.encoder_outputs_transposed, self.dim = encoder_outputs_transposed, dim
        self.encoder_lengths = encoder_lengths

    def name(self, name: str) -> str:
        return f"{self.scope}/{name}"

    def project(self, blob: Any, dim_in: int, name: str) -> Any:
        """The blob (1, N, dim_in) as (N, dim)."""
        made = brew.fc(self.model, blob, self.name(name), dim_in=dim_in, dim_out=self.dim, axis=2)
        return self.net.Squeeze(made, made, dims=[0])

    def logits_of_sum(self, total: Any) -> Any:
        """v^T tanh(total), as (N, T, 1)."""
        total = self.net.Tanh(total, total)
        logits = brew.fc(
            self.model,
            total,
            self.name("attention_logits"),
            dim_in=self.dim,
            dim_out=1,
            axis=2,
            freeze_bias=True,
        )
        name = self.name("attention_logits_transposed")
        return brew.transpose(self.model, logits, name, axes=[1, 0, 2])

    def weigh(self, logits: Any) -> tuple[Any, Any]:
        """The context for these logits, and the weights."""
        if self.encoder_lengths is not None:
            inputs = [logits, self.encoder_lengths]
            logits = self.net.SequenceMask(inputs, ["masked_attention_logits"], mode="sequence")
        name = self.name("attention_weights_3d")
        weights = brew.softmax(self.model, logits, name, engine="CUDNN", axis=1)
        context = brew.batch_mat_mul(
            self.model,
            [self.encoder_outputs_transposed, weights],
            self.name("attention_weighted_encoder_context"),
        )
        old_shape = self.name("attention_weighted_encoder_context_old_shape")
        context, _ = self.net.Reshape(context, [context, old_shape], shape=[1, -1, self.dim])
        return context, weights


def apply_recurrent_attention(
    model: Any,
    encoder_output_dim: int,
    encoder_outputs_transposed: Any,
    weighted_encoder_outputs: Any,
    decoder_hidden_state_t: Any,
    decoder_hidden_state_dim: int,
    attention_weighted_encoder_context_t_prev: Any,
    scope: Any,
    encoder_lengths: Any = None,
) -> tuple[Any, Any, list[Any]]:
    """Match by a sum that includes the previous context. Source: arXiv:1601.03317, section 4.1."""
    step = _Step(model, scope, encoder_outputs_transposed, encoder_output_dim, encoder_lengths)
    previous = attention_weighted_encoder_context_t_prev
    before = step.project(previous, encoder_output_dim, "weighted_prev_attention_context")
    hidden = step.project(decoder_hidden_state_t, decoder_hidden_state_dim, "weighted_decoder_hidden_state")
    part = model.net.Add([before, hidden], step.name("decoder_hidden_encoder_outputs_sum_tmp"))
    name = step.name("decoder_hidden_encoder_outputs_sum")
    total = model.net.Add([weighted_encoder_outputs, part], name, broadcast=1)
    return (*step.weigh(step.logits_of_sum(total)), [total])


def apply_regular_attention(
    model: Any,
    encoder_output_dim: int,
    encoder_outputs_transposed: Any,
    weighted_encoder_outputs: Any,
    decoder_hidden_state_t: Any,
    decoder_hidden_state_dim: int,
    scope: Any,
    encoder_lengths: Any = None,
) -> tuple[Any, Any, list[Any]]:
    """Match by a sum. Source: Bahdanau, Cho, Bengio, arXiv:1409.0473."""
    step = _Step(model, scope, encoder_outputs_transposed, encoder_output_dim, encoder_lengths)
    hidden = step.project(decoder_hidden_state_t, decoder_hidden_state_dim, "weighted_decoder_hidden_state")
    name = step.name("decoder_hidden_encoder_outputs_sum")
    total = model.net.Add([weighted_encoder_outputs, hidden], name, broadcast=1, use_grad_hack=1)
    return (*step.weigh(step.logits_of_sum(total)), [total])


def apply_dot_attention(
    model: Any,
    encoder_output_dim: int,
    encoder_outputs_transposed: Any,
    decoder_hidden_state_t: Any,
    decoder_hidden_state_dim: int,
    scope: Any,
    encoder_lengths: Any = None,
) -> tuple[Any, Any, list[Any]]:
    """Match by the product, after a projection if the sizes differ."""
    step = _Step(model, scope, encoder_outputs_transposed, encoder_output_dim, encoder_lengths)
    hidden = decoder_hidden_state_t
    if decoder_hidden_state_dim != encoder_output_dim:
        sizes = {"dim_in": decoder_hidden_state_dim, "dim_out": encoder_output_dim}
        hidden = brew.fc(model, hidden, step.name("weighted_decoder_hidden_state"), **sizes, axis=2)
    flat = model.net.Squeeze(hidden, step.name("squeezed_weighted_decoder_hidden_state"), dims=[0])
    column = model.net.ExpandDims(flat, flat, dims=[2])
    name = step.name("attention_logits")
    logits = model.net.BatchMatMul([encoder_outputs_transposed, column], name, trans_a=1)
    return (*step.weigh(logits), [])


def apply_soft_coverage_attention(
    model: Any,
    encoder_output_dim: int,
    encoder_outputs_transposed: Any,
    weighted_encoder_outputs: Any,
    decoder_hidden_state_t: Any,
    decoder_hidden_state_dim: int,
    scope: Any,
    encoder_lengths: Any,
    coverage_t_prev: Any,
    coverage_weights: Any,
) -> tuple[Any, Any, list[Any], Any]:
    """Match by a sum that includes what was attended to so far; also returns the new coverage."""
    step = _Step(model, scope, encoder_outputs_transposed, encoder_output_dim, encoder_lengths)
    net = model.net
    hidden = step.project(decoder_hidden_state_t, decoder_hidden_state_dim, "weighted_decoder_hidden_state")
    name = step.name("decoder_hidden_encoder_outputs_sum_tmp")
    part = net.Add([weighted_encoder_outputs, hidden], name, broadcast=1)
    flat = net.Squeeze(coverage_t_prev, step.name("coverage_t_prev_2d"), dims=[0])
    covered = brew.transpose(model, flat, step.name("coverage_t_prev_transposed"))
    name = step.name("scaled_coverage_weights")
    scaled = net.Mul([coverage_weights, covered], name, broadcast=1, axis=0)
    total = net.Add([part, scaled], step.name("decoder_hidden_encoder_outputs_sum"))
    context, weights = step.weigh(step.logits_of_sum(total))
    now = net.Squeeze(weights, step.name("attention_weights_2d"), dims=[2])
    coverage = net.Add([coverage_t_prev, now], step.name("coverage_t"), broadcast=1)
    return context, weights, [total], coverage
