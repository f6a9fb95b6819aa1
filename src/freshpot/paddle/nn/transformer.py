"""Attention, and the layers of transformers (Vaswani and others 2017)."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import torch

from freshpot.errors import ArgumentError, NotSupportedError
from freshpot.paddle import tensor as ops
from freshpot.paddle._tensor import Tensor, wrap
from freshpot.paddle.nn import functional as F
from freshpot.paddle.nn.common import Dropout, Linear
from freshpot.paddle.nn.container import LayerList
from freshpot.paddle.nn.layer import Layer
from freshpot.paddle.nn.norms import LayerNorm

__all__ = [
    "MultiHeadAttention", "Transformer", "TransformerDecoder", "TransformerDecoderLayer", "TransformerEncoder",
    "TransformerEncoderLayer",
]  # fmt: skip


def _added(mask: Tensor | None, like: Tensor) -> torch.Tensor | None:
    """A mask as what is added to the scores: bool and integer masks say where to look."""
    if mask is None:
        return None
    data = mask.data_
    if data.is_floating_point():
        return data.to(like.data_.dtype)
    return torch.where(data.bool(), 0.0, -1e9).to(like.data_.dtype)


class MultiHeadAttention(Layer):
    """Attention in several heads; query (N, L, embed_dim), key (N, S, kdim), value (N, S, vdim)."""

    def __init__(
        self,
        embed_dim: int,
        num_heads: int,
        dropout: float = 0.0,
        kdim: int | None = None,
        vdim: int | None = None,
        need_weights: bool = False,
        weight_attr: Any = None,
        bias_attr: Any = None,
    ) -> None:
        super().__init__()
        if embed_dim % num_heads:
            raise ArgumentError(f"MultiHeadAttention: {embed_dim} cannot be cut into {num_heads} heads")
        self.embed_dim, self.num_heads, self.dropout, self.need_weights = (
            embed_dim,
            num_heads,
            dropout,
            need_weights,
        )
        self.head_dim = embed_dim // num_heads
        self.q_proj = Linear(embed_dim, embed_dim, weight_attr, bias_attr)
        self.k_proj = Linear(kdim or embed_dim, embed_dim, weight_attr, bias_attr)
        self.v_proj = Linear(vdim or embed_dim, embed_dim, weight_attr, bias_attr)
        self.out_proj = Linear(embed_dim, embed_dim, weight_attr, bias_attr)

    def _heads(self, x: Any) -> Any:
        return x.reshape([0, 0, self.num_heads, self.head_dim]).transpose([0, 2, 1, 3])

    def forward(
        self, query: Any, key: Any = None, value: Any = None, attn_mask: Any = None, cache: Any = None
    ) -> Any:
        """(N, L, embed_dim); with ``need_weights`` the weights (N, heads, L, S) too.

        Raises:
            NotSupportedError: a cache.
        """
        if cache is not None:
            raise NotSupportedError("MultiHeadAttention: cache (decoding step by step) is not done here")
        key = query if key is None else key
        value = key if value is None else value
        q, k, v = (
            self._heads(self.q_proj(query)),
            self._heads(self.k_proj(key)),
            self._heads(self.v_proj(value)),
        )
        scores = torch.matmul(q.data_ / math.sqrt(self.head_dim), k.data_.mT)
        mask = _added(attn_mask, q)
        weights = torch.softmax(scores if mask is None else scores + mask, -1)
        kept = torch.nn.functional.dropout(weights, self.dropout, self.training) if self.dropout else weights
        made = torch.matmul(kept, v.data_).transpose(1, 2).flatten(2)
        out = self.out_proj(wrap(made))
        return (out, wrap(weights)) if self.need_weights else out


def _attributes(value: Any, count: int) -> list[Any]:
    """An attribute for each of the attentions, then that of the linear layers; one stands for all.

    Of two, the first is the attentions'; of three the middle one is left out where there is one attention.

    Raises:
        ArgumentError: another number of them.
    """
    if not isinstance(value, (list, tuple)):
        return [value] * count
    if not 1 <= len(value) <= 3:
        raise ArgumentError(
            f"weight_attr and bias_attr take one attribute, or a list of up to 3; got {len(value)}"
        )
    return [*([value[0], *value[1:-1]] * count)[: count - 1], value[-1]]


class _Block(Layer):
    """What encoder and decoder layers share: attention, then two linear layers, each with its norm."""

    #: the names of its attentions, in the order of their norms
    attentions: ClassVar[tuple[str, ...]]

    def __init__(
        self,
        d_model: int,
        nhead: int,
        dim_feedforward: int,
        dropout: float = 0.1,
        activation: str = "relu",
        attn_dropout: float | None = None,
        act_dropout: float | None = None,
        normalize_before: bool = False,
        weight_attr: Any = None,
        bias_attr: Any = None,
        layer_norm_eps: float = 1e-5,
    ) -> None:
        super().__init__()
        self.arguments = {
            "d_model": d_model, "nhead": nhead, "dim_feedforward": dim_feedforward, "dropout": dropout,
            "activation": activation, "attn_dropout": attn_dropout, "act_dropout": act_dropout,
            "normalize_before": normalize_before, "weight_attr": weight_attr, "bias_attr": bias_attr,
            "layer_norm_eps": layer_norm_eps,
        }  # fmt: skip
        self.normalize_before = normalize_before
        count = len(self.attentions) + 1
        weights, biases = _attributes(weight_attr, count), _attributes(bias_attr, count)
        inner = dropout if attn_dropout is None else attn_dropout
        for number, name in enumerate(self.attentions):
            own = {"weight_attr": weights[number], "bias_attr": biases[number]}
            setattr(self, name, MultiHeadAttention(d_model, nhead, inner, **own))
        self.linear1 = Linear(d_model, dim_feedforward, weights[-1], biases[-1])
        self.dropout = Dropout(dropout if act_dropout is None else act_dropout)
        self.linear2 = Linear(dim_feedforward, d_model, weights[-1], biases[-1])
        for number in range(1, count + 1):
            setattr(self, f"norm{number}", LayerNorm(d_model, layer_norm_eps))
        for number in range(1, count + 1):
            setattr(self, f"dropout{number}", Dropout(dropout))
        self.activation = getattr(F, activation)

    def _around(self, number: int, x: Any, work: Any) -> Any:
        norm, dropout = getattr(self, f"norm{number}"), getattr(self, f"dropout{number}")
        made = x + dropout(work(norm(x) if self.normalize_before else x))
        return made if self.normalize_before else norm(made)

    def _feed(self, x: Any) -> Any:
        return self.linear2(self.dropout(self.activation(self.linear1(x))))


class TransformerEncoderLayer(_Block):
    """Attention of a sequence to itself, then two linear layers."""

    attentions = ("self_attn",)

    def forward(self, src: Any, src_mask: Any = None, cache: Any = None) -> Any:
        """(N, L, d_model) -> the same."""
        src = self._around(1, src, lambda x: self.self_attn(x, x, x, src_mask, cache))
        return self._around(2, src, self._feed)


class TransformerDecoderLayer(_Block):
    """Attention of a sequence to itself and to the encoder's output, then two linear layers."""

    attentions = ("self_attn", "cross_attn")

    def forward(
        self, tgt: Any, memory: Any, tgt_mask: Any = None, memory_mask: Any = None, cache: Any = None
    ) -> Any:
        """(N, L, d_model), memory (N, S, d_model) -> (N, L, d_model)."""
        tgt = self._around(1, tgt, lambda x: self.self_attn(x, x, x, tgt_mask, cache))
        tgt = self._around(2, tgt, lambda x: self.cross_attn(x, memory, memory, memory_mask))
        return self._around(3, tgt, self._feed)


def _again(layer: Any) -> Any:
    """Another layer made with the same arguments: parameters of its own, that begin by themselves."""
    return type(layer)(**layer.arguments)


class _Tower(Layer):
    def __init__(self, layer: Layer, num_layers: int, norm: Layer | None = None) -> None:
        super().__init__()
        self.layers = LayerList([layer, *[_again(layer) for _ in range(num_layers - 1)]])
        self.num_layers = num_layers
        self.norm = norm

    def _end(self, x: Any) -> Any:
        return x if self.norm is None else self.norm(x)


class TransformerEncoder(_Tower):
    """Several encoder layers."""

    def forward(self, src: Any, src_mask: Any = None, cache: Any = None) -> Any:
        """(N, L, d_model) -> the same."""
        for layer in self.layers:
            src = layer(src, src_mask, cache)
        return self._end(src)


class TransformerDecoder(_Tower):
    """Several decoder layers."""

    def forward(
        self, tgt: Any, memory: Any, tgt_mask: Any = None, memory_mask: Any = None, cache: Any = None
    ) -> Any:
        """(N, L, d_model), memory (N, S, d_model) -> (N, L, d_model)."""
        for layer in self.layers:
            tgt = layer(tgt, memory, tgt_mask, memory_mask, cache)
        return self._end(tgt)


class Transformer(Layer):
    """An encoder and a decoder."""

    def __init__(
        self,
        d_model: int = 512,
        nhead: int = 8,
        num_encoder_layers: int = 6,
        num_decoder_layers: int = 6,
        dim_feedforward: int = 2048,
        dropout: float = 0.1,
        activation: str = "relu",
        attn_dropout: float | None = None,
        act_dropout: float | None = None,
        normalize_before: bool = False,
        weight_attr: Any = None,
        bias_attr: Any = None,
    ) -> None:
        super().__init__()
        shared = (
            d_model,
            nhead,
            dim_feedforward,
            dropout,
            activation,
            attn_dropout,
            act_dropout,
            normalize_before,
        )
        norm = (lambda: LayerNorm(d_model)) if normalize_before else (lambda: None)
        one = TransformerEncoderLayer(*shared, weight_attr, bias_attr)
        two = TransformerDecoderLayer(*shared, weight_attr, bias_attr)
        self.encoder = TransformerEncoder(one, num_encoder_layers, norm())
        self.decoder = TransformerDecoder(two, num_decoder_layers, norm())
        self.d_model, self.nhead = d_model, nhead

    def forward(
        self, src: Any, tgt: Any, src_mask: Any = None, tgt_mask: Any = None, memory_mask: Any = None
    ) -> Any:
        """(N, S, d_model), (N, L, d_model) -> (N, L, d_model)."""
        memory = self.encoder(src, src_mask)
        return self.decoder(tgt, memory, tgt_mask, memory_mask)

    def generate_square_subsequent_mask(self, length: int) -> Any:
        """-inf above the diagonal, 0 elsewhere."""
        return ops.triu(ops.full([length, length], float("-inf")), 1)
