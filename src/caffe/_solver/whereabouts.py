"""Where the data and the random numbers of a training run stand, so that resuming it is exact.

The original's solver states lack this: there, data start over. Its files, and its readers, work with ours.
Owned here: those few bytes, JSON. Who calls it: `solver`.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from typing import Any

import torch

from caffe import _log, _mode, _random
from caffe._net.net import CaffeNet
from freshpot.errors import FormatError


def note(nets: Sequence[CaffeNet]) -> bytes:
    """How many batches each data layer has handed out, and the state of the random numbers."""
    return json.dumps(
        {
            "batches": [{layer.name: feed.taken for layer, feed in _feeds(net)} for net in nets],
            "random": [_encode(_random.generator().get_state()), _encode(torch.get_rng_state())],
            **_gpu_random(nets[0].site.device),
        }
    ).encode()


def _gpu_random(device: torch.device) -> dict[str, str]:
    """The state of the random numbers that a GPU draws itself (dropout), if that is where the net is."""
    return {"gpu_random": _encode(torch.cuda.get_rng_state(device))} if device.type == "cuda" else {}


def go_on_from(noted: bytes, nets: Sequence[CaffeNet], path: str) -> None:
    """Put the data layers and random numbers where they were; layers that are new stay as they are.

    Raises:
        FormatError: the note is damaged.
    """
    if not noted:
        return
    try:
        found = json.loads(noted)
        batches = [{str(k): int(v) for k, v in net.items()} for net in found["batches"]]
        own, general = (_decode(text) for text in found["random"])
        gpu = _decode(found["gpu_random"]) if "gpu_random" in found else None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise FormatError(f"the note on data and random numbers is damaged: {error}", path=path) from error
    for net, places in zip(nets, batches, strict=False):
        for layer, feed in _feeds(net):
            if places.get(layer.name, 0) > feed.taken:
                _log.info(
                    "whereabouts.py:1", f"Data of layer {layer.name} go on at batch {places[layer.name]}"
                )
                feed.go_on_from(places[layer.name])
    try:
        _random.generator().set_state(own)
        torch.set_rng_state(general)
        if gpu is not None and _mode.place.type == "cuda":
            torch.cuda.set_rng_state(gpu, _mode.place)
    except RuntimeError as error:
        raise FormatError(f"the state of the random numbers is damaged: {error}", path=path) from error


def _feeds(net: CaffeNet) -> list[tuple[Any, Any]]:
    """The data layers whose states count batches."""
    return [(layer, layer.state) for layer in net.layers if hasattr(layer.state, "go_on_from")]


def _encode(state: torch.Tensor) -> str:
    return base64.b64encode(state.numpy().tobytes()).decode()


def _decode(text: str) -> torch.Tensor:
    return torch.frombuffer(bytearray(base64.b64decode(text, validate=True)), dtype=torch.uint8)
