"""Nets in files: which kinds there are, reading one of any kind, writing one of any kind.

Owned here: the kinds by suffix. Who calls it: `Captured.write`, `freshpot convert`. The formats themselves are
`freshpot.convert`'s and, of Paddle's files, `freshpot.paddle.jit`'s.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from freshpot.convert.folded import folded
from freshpot.errors import ArgumentError, NetError, NotSupportedError
from freshpot.formats.nearby import looked_in
from freshpot.net import Net
from freshpot.torch._modes import in_mode
from freshpot.torch._sources import Source, from_imported, read

__all__ = ["SOURCES", "TARGETS", "kind_of", "read_file", "write"]

#: what a net may be read from, by suffix
SOURCES = {
    ".prototxt": "a Caffe net",
    ".pb": "a Caffe2 net",
    ".pbtxt": "a Caffe2 net as text",
    ".onnx": "an ONNX model",
    ".pdmodel": "a Paddle network",
}
#: what a net may be written to, by suffix; a folder has none
TARGETS = {
    ".onnx": "an ONNX model",
    ".pt": "a PyTorch state_dict",
    ".pth": "a PyTorch state_dict",
    ".prototxt": "a Caffe net, with its weights in the .caffemodel beside it",
    ".pdmodel": "a Paddle network that freshpot reads, with its weights in the .pdiparams beside it",
    "": "a Caffe2 predictor pair",
}
_PICKLED = (".pt2", ".pt", ".pth", ".pkl")


def kind_of(target: Path) -> str:
    """What is to be written: a suffix of `TARGETS`.

    Raises:
        ArgumentError: another one.
    """
    if target.suffix not in TARGETS:
        raise ArgumentError(
            f"{target}: give FILE.onnx, FILE.prototxt, FILE.pdmodel, FILE.pt, or a folder (a name without a suffix)."
        )
    return target.suffix


# ---- reading -----------------------------------------------------------------------------------------
def read_file(
    path: Path, weights: Path | None, shapes: Mapping[str, Sequence[int]], fixed_batch: bool = False
) -> Source:
    """The net in a file of one of the kinds `SOURCES`.

    Args:
        path: the net; Paddle's old ``__model__`` is known by its name.
        weights: the caffemodel, the init_net, or the pdiparams; None: there are none, or they lie beside the net.
        shapes: sizes of inputs that the file leaves open.
        fixed_batch: of an ONNX model whose batch is open: fix it at what ``shapes`` says.

    Raises:
        ArgumentError: no such kind; weights for a kind that has its own. NetError: no such file.
        NotSupportedError: pickles; operators that are not done. FormatError: a damaged file.
    """
    kind = ".pdmodel" if path.name == "__model__" else path.suffix.lower()
    if kind in _PICKLED:
        raise NotSupportedError(
            f"{path}: archives of PyTorch hold pickles, which are programs; they are not read. Make the module in "
            "Python, then freshpot.torch.capture(module, example).write(…), or torch.onnx.export and convert the .onnx."
        )
    if kind not in SOURCES:
        hint = " It holds weights: name its net first, NET.prototxt." if kind == ".caffemodel" else ""
        raise ArgumentError(f"{path}: SRC must be {', '.join(SOURCES)}.{hint}")
    if not path.is_file():
        raise NetError(f"{path}: there is no such file{looked_in(path)}")
    if kind == ".onnx":
        return _read_onnx(path, weights, shapes, fixed_batch)
    if kind == ".pdmodel":
        return _read_paddle(path, weights, shapes)
    return _read_caffe(path, weights) if kind == ".prototxt" else _read_caffe2(path, weights)


def _read_onnx(
    path: Path, weights: Path | None, shapes: Mapping[str, Sequence[int]], fixed_batch: bool
) -> Source:
    from freshpot.convert.from_onnx import read_onnx

    if weights is not None:
        raise ArgumentError(f"{weights}: an ONNX model has its weights with it; leave WEIGHTS out.")
    return from_imported(read_onnx(path, shapes, fixed_batch))


def _read_paddle(path: Path, weights: Path | None, shapes: Mapping[str, Sequence[int]]) -> Source:
    from freshpot.paddle.jit import captured_file

    return read(captured_file(path, weights, shapes), None, None, None)


def _read_caffe2(path: Path, weights: Path | None) -> Source:
    init: Net | dict[str, Any] = {} if weights is None else _on_cpu(_net_in(weights))
    return read(_on_cpu(_net_in(path)), init, None, None)


def _net_in(path: Path) -> Net:
    """A NetDef from a binary file, or from a text."""
    from freshpot.convert.netdef import net_from_bytes, net_from_proto
    from freshpot.formats import protobuf
    from freshpot.formats.prototxt import parse_prototxt

    if path.suffix != ".pbtxt":
        return net_from_bytes(path.read_bytes(), path=path)
    made = parse_prototxt(path.read_text(encoding="utf-8"), protobuf.load("caffe2").NetDef(), path)
    return net_from_proto(made.message)


def _on_cpu(net: Net) -> Net:
    """The net without its devices: a model that names a GPU is converted all the same."""
    net.device = None
    for op in net.ops:
        op.device = None
    return net


def _read_caffe(path: Path, weights: Path | None) -> Source:
    import caffe

    files = [str(path)] if weights is None else [str(path), str(weights)]
    net = caffe.Net(*files, caffe.TEST)
    return read(net, None, None, _without_labels(net._net))


def _without_labels(net: Any) -> list[str] | None:
    """Outputs of a Caffe net for use: what losses and accuracies compare with labels; None if it has none of them."""
    before_split = {
        t.name: layer.bottoms[0].name for layer in net.layers if layer.type == "Split" for t in layer.tops
    }
    given = {top.name for layer in net.layers if not layer.bottoms for top in layer.tops}
    found: dict[str, None] = {}
    judged: set[str] = set()
    for layer in net.layers:
        if layer.kind.loss or layer.type == "Accuracy":
            judged |= {top.name for top in layer.tops}
            labels = layer.kind.not_forced if layer.kind.loss else (1,)
            names = [bottom.name for k, bottom in enumerate(layer.bottoms) if k not in labels]
            found |= dict.fromkeys(before_split.get(name, name) for name in names)
    if not judged:
        return None
    outputs = [net.blob_names[i] for i in net.output_ids]
    return [name for name in (*found, *outputs) if name not in judged | given]


# ---- writing -----------------------------------------------------------------------------------------
def write(path: Path, source: Source, shapes: Mapping[str, Sequence[int]] | None = None) -> None:
    """Write a net, as it is in use, to a file of the kind that the suffix says; see `Captured.write`."""
    kind, given = kind_of(path), dict(shapes or {})
    net = Net(
        source.name,
        [in_mode(op, False) for op in source.ops],
        [*source.inputs, *source.values],
        list(source.outputs),
    )
    net, values = folded(net, source.values, source.outputs)
    if kind in (".pt", ".pth"):
        _write_state(path, source)
    elif not kind:
        from freshpot.convert.pair import write_pair

        write_pair(path, net, values)
    elif kind == ".pdmodel":
        _write_paddle(path, source)
    elif kind == ".onnx":
        from freshpot.convert.onnx import to_onnx
        from freshpot.formats.onnx import write_model

        write_model(path, to_onnx(net, values, closed(source, given), source.outputs))
    else:
        from freshpot.convert.to_caffe import write_caffe

        write_caffe(path, net, values, closed(source, given), source.outputs)


def closed(
    source: Source, given: Mapping[str, Sequence[int]]
) -> dict[str, tuple[tuple[int, ...], torch.dtype]]:
    """Shape and type of every input; an open batch is what is given, else 1.

    Raises:
        ArgumentError: the sizes of an input are not known.
    """
    made = {}
    for blob in source.inputs:
        known, dtype = source.shapes.get(blob, (None, torch.float32))
        sizes = given.get(blob) or known
        if sizes is None:
            missing = [blob for blob in source.inputs if blob not in {**source.shapes, **given}]
            raise ArgumentError(
                f"the shape of {', '.join(missing)} is not known: give --shape {missing[0]}=N,C,H,W (in Python "
                f"shapes={{'{missing[0]}': (N, C, H, W)}})."
            )
        made[blob] = (tuple(size or 1 for size in sizes), dtype)
    return made


def _write_state(path: Path, source: Source) -> None:
    from freshpot.formats.atomic import write_bytes
    from freshpot.torch._module import NetModule

    buffer = io.BytesIO()
    torch.save(NetModule(source).state_dict(), buffer)
    write_bytes(path, buffer.getvalue())


def _write_paddle(path: Path, source: Source) -> None:
    from freshpot.paddle.jit._files import write_network
    from freshpot.torch._capture import capture
    from freshpot.torch._module import NetModule

    write_network(str(path.with_suffix("")), capture(NetModule(source).eval()))
