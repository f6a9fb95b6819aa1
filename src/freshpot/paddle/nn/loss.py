"""Losses as layers: each calls the function of its name with what it was made with."""

from __future__ import annotations

from typing import Any

from freshpot.errors import ArgumentError
from freshpot.paddle.nn import functional as F
from freshpot.paddle.nn.layer import Layer

#: layer -> (function, its options in order)
_TABLE: dict[str, tuple[str, str]] = {
    "BCELoss": ("binary_cross_entropy", "weight reduction"),
    "BCEWithLogitsLoss": ("binary_cross_entropy_with_logits", "weight reduction pos_weight"),
    "CTCLoss": ("ctc_loss", "blank reduction"),
    "CosineEmbeddingLoss": ("cosine_embedding_loss", "margin reduction"),
    "CrossEntropyLoss": (
        "cross_entropy",
        "weight ignore_index reduction soft_label axis use_softmax label_smoothing",
    ),
    "GaussianNLLLoss": ("gaussian_nll_loss", "full epsilon reduction"),
    "HingeEmbeddingLoss": ("hinge_embedding_loss", "margin reduction"),
    "KLDivLoss": ("kl_div", "reduction log_target"),
    "L1Loss": ("l1_loss", "reduction"),
    "MSELoss": ("mse_loss", "reduction"),
    "MarginRankingLoss": ("margin_ranking_loss", "margin reduction"),
    "MultiLabelSoftMarginLoss": ("multi_label_soft_margin_loss", "weight reduction"),
    "MultiMarginLoss": ("multi_margin_loss", "p margin weight reduction"),
    "NLLLoss": ("nll_loss", "weight ignore_index reduction"),
    "PoissonNLLLoss": ("poisson_nll_loss", "log_input full epsilon reduction"),
    "SmoothL1Loss": ("smooth_l1_loss", "reduction delta"),
    "SoftMarginLoss": ("soft_margin_loss", "reduction"),
    "TripletMarginLoss": ("triplet_margin_loss", "margin p epsilon swap reduction"),
    "TripletMarginWithDistanceLoss": (
        "triplet_margin_with_distance_loss",
        "distance_function margin swap reduction",
    ),
}


class _Loss(Layer):
    function = ""
    names: tuple[str, ...] = ()

    def __init__(self, *args: Any, **keywords: Any) -> None:
        super().__init__()
        keywords.pop("name", None)
        unknown = [name for name in keywords if name not in self.names]
        if unknown or len(args) > len(self.names):
            raise ArgumentError(
                f"{type(self).__name__} takes {', '.join(self.names)}; got {unknown or list(args)}"
            )
        self._options = {**dict(zip(self.names, args, strict=False)), **keywords}
        reduction = self._options.get("reduction", "mean")
        if reduction not in ("mean", "sum", "none", "batchmean"):
            raise ArgumentError(
                f"{type(self).__name__}: reduction {reduction!r}; choose 'mean', 'sum' or 'none'"
            )

    def forward(self, input: Any, label: Any, *more: Any) -> Any:
        """Scores and labels -> the loss."""
        return getattr(F, self.function)(input, label, *more, **self._options)


def _make(name: str, function: str, names: str) -> type[Layer]:
    body = {
        "function": function,
        "names": tuple(names.split()),
        "__doc__": f"The layer of :func:`functional.{function}`.",
        "__module__": __name__,
    }
    return type(name, (_Loss,), body)


globals().update({name: _make(name, *entry) for name, entry in _TABLE.items()})
__all__ = [*_TABLE]
