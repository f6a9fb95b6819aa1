"""Every operator's declaration against the original's: arity, in-place pairs, required arguments."""

from __future__ import annotations

import json
from typing import Any

import pytest

from conftest import SHARED, needs_shared
from freshpot.net import registry
from freshpot.net.schema import arity
from freshpot.ops._operator import ANY_PAIR, Operator

#: (operator, what) that differ on purpose, and why
DIFFERENCES: dict[tuple[str, str], str] = {
    ("GroupNormGradient", "inputs"): "gamma and beta may be left out here",
    ("SoftmaxWithLoss", "outputs"): "the original's third output is never written",
    ("SpatialBN", "inplace"): "pairs of the form with 7 inputs, which the record was not asked about",
    ("SpatialBNGradient", "inplace"): "pairs of the form with 7 inputs, which the record was not asked about",
    ("ReceiveTensor", "inplace"): "pairs of the form with 4 inputs, which the record was not asked about",
}


def _original() -> dict[str, Any]:
    if SHARED is None:
        return {}
    return json.loads((SHARED / "reference" / "caffe2" / "operators.json").read_text(encoding="utf-8"))


ORIGINAL = {name: about for name, about in _original().items() if about.get("schema") and registry.find(name)}
GRADIENTS = {name for name in ORIGINAL if name.endswith("Gradient")}


def _pairs(definition: type[Operator]) -> set[tuple[int, int]] | None:
    if definition.inplace == ANY_PAIR:
        return None
    return {*definition.inplace, *definition.must_inplace}  # type: ignore[list-item]


@needs_shared
@pytest.mark.parametrize("name", sorted(ORIGINAL))
@pytest.mark.parametrize("side", ["inputs", "outputs"])
def test_arity(name: str, side: str) -> None:
    about, definition = ORIGINAL[name], registry.get(name)
    allowed = about.get(f"num_{side}_allowed")
    fewest, most = arity(getattr(definition, side))
    wanted_fewest, wanted_most = about[f"min_{side}"], about[f"max_{side}"]
    if allowed:
        wanted_fewest, wanted_most = min(allowed), None if most is None else max(allowed)
    if not allowed and (wanted_fewest, wanted_most) == (0, None):
        return  # the original's schema does not say
    if name in GRADIENTS:
        # made by rules, not written by hand: never beyond the original, but gradients that nobody
        # asked for may be left out
        within = most is not None and (wanted_most is None or most <= wanted_most)
        wanted_most = most if within else wanted_most
        wanted_fewest = fewest if side == "outputs" else max(fewest, wanted_fewest)
    if (name, side) in DIFFERENCES:
        assert (fewest, most) != (wanted_fewest, wanted_most), "no difference any more: take it off the table"
        return
    assert (fewest, most) == (wanted_fewest, wanted_most)


@needs_shared
@pytest.mark.parametrize("name", sorted(ORIGINAL))
def test_inplace(name: str) -> None:
    about, definition = ORIGINAL[name], registry.get(name)
    enforced = {tuple(p) for p in about.get("inplace_enforced") or []}
    wanted = {tuple(p) for p in about.get("inplace_allowed") or []} | enforced
    ours = _pairs(definition)
    if ours is None or about.get("inplace_allowed") is None:
        return  # any pair is allowed here, or nobody asked the original
    if (name, "inplace") in DIFFERENCES:
        assert ours != wanted, "no difference any more: take it off the table"
        return
    assert ours == wanted
    assert set(definition.must_inplace) == enforced


@needs_shared
@pytest.mark.parametrize("name", sorted(ORIGINAL))
def test_required_arguments(name: str) -> None:
    wanted = {arg["name"] for arg in ORIGINAL[name]["args"] if arg["required"]}
    ours = {arg.name for arg in registry.get(name).args}
    assert wanted <= ours
