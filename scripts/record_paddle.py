"""Run the cases of tests/paddle/cases under the real PaddlePaddle and write down what it gives.

    PYTHON scripts/record_paddle.py            PYTHON: a Python with paddlepaddle (recorded with 3.3.1)
    FLAGS_enable_pir_api=0 PYTHON scripts/record_paddle.py --only static_old     programs as they were until 2.6
    PYTHON scripts/record_paddle.py --check DIR   read the files in DIR, which freshpot wrote, with the real Paddle
    PYTHON scripts/record_paddle.py --programs write inference files (recorded with 2.6.2: 3.x writes another format)
    PYTHON scripts/record_paddle.py --names    write the public names only (recorded with 2.6.2: 3.x adds PyTorch's)

Writes tests/paddle/recorded/<table>.json, one line a case; tests/paddle/recorded/*.pdparams and *.pdopt, files of the
real `paddle.save`. With --names src/freshpot/paddle/original_names.txt, the original's public names.
With --programs tests/paddle/recorded/programs.zip: what jit.save makes of cases/programs.py, with outputs.
Cases that the real Paddle refuses are not written; they are printed.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

import paddle

ROOT = Path(__file__).resolve().parents[1]
TESTS = ROOT / "tests" / "paddle"
RECORDED = TESTS / "recorded"
sys.path.insert(0, str(TESTS))


import paddle_replay as replay  # noqa: E402


def record(table: str, wanted: list[str]) -> int:
    lines, refused = [], 0
    for text in wanted:
        try:
            found = replay.evaluate(paddle, text)
        except Exception as error:
            refused += 1
            print(f"{table}: {text!r}: {type(error).__name__}: {str(error).strip().splitlines()[-1:]}")
            continue
        lines.append(f"{json.dumps(text)}: {json.dumps(found, separators=(',', ':'))}")
    body = ",\n".join(lines)
    (RECORDED / f"{table}.json").write_text("{\n" + body + "\n}\n", encoding="utf-8")
    return refused


#: modules whose public names are compared
MODULES = (
    "nn", "nn.functional", "nn.initializer", "nn.utils", "optimizer", "optimizer.lr", "io", "metric", "vision",
    "vision.datasets", "vision.transforms", "vision.models", "callbacks", "regularizer", "static", "jit", "amp",
    "autograd", "linalg", "distribution", "distributed",
)  # fmt: skip


def public_names() -> dict[str, list[str]]:
    found = {"": paddle, **{name: _module(name) for name in MODULES}}
    names = {name: getattr(module, "__all__", None) or dir(module) for name, module in found.items()}
    classes = {"Tensor": paddle.Tensor, "nn.Layer": paddle.nn.Layer, "Model": paddle.Model}
    names.update({name: dir(cls) for name, cls in classes.items()})
    return {key: sorted(n for n in set(value) if not n.startswith("_")) for key, value in names.items()}


def _module(name: str) -> Any:
    found = paddle
    for part in name.split("."):
        found = getattr(found, part)
    return found


def write_names() -> None:
    lines = [f"{key}: {' '.join(value)}" for key, value in public_names().items()]
    path = ROOT / "src" / "freshpot" / "paddle" / "original_names.txt"
    head = f"# public names of paddlepaddle {paddle.__version__}, written by scripts/record_paddle.py\n"
    path.write_text(head + "\n".join(lines) + "\n", encoding="utf-8")


def write_files() -> None:
    """A network and its optimizer after two steps, as the real Paddle saves them."""
    layer = replay.Namespace(paddle, False).fixed(paddle.nn.Linear(3, 2))
    schedule = paddle.optimizer.lr.StepDecay(0.1, 1)
    adam = paddle.optimizer.Adam(schedule, parameters=layer.parameters())
    for _ in range(2):
        layer(paddle.to_tensor(replay.ARRAYS["x"])).sum().backward()
        adam.step()
        schedule.step()
        adam.clear_grad()
    for protocol in (2, 4):
        paddle.save(layer.state_dict(), str(RECORDED / f"linear_{protocol}.pdparams"), protocol)
        paddle.save(adam.state_dict(), str(RECORDED / f"linear_{protocol}.pdopt"), protocol)
    paddle.save(
        {"epoch": 3, "tensor": paddle.to_tensor(replay.ARRAYS["x"]), "names": ["a", "b"]},
        str(RECORDED / "mixed.pd"),
    )
    np.savez(
        RECORDED / "linear.npz",
        weight=layer.weight.numpy(),
        bias=layer.bias.numpy(),
        moment1=adam.state_dict()[f"{layer.weight.name}_moment1_0"].numpy(),
    )


def write_programs() -> None:
    """Small networks as jit.save writes them, with inputs and outputs, in one archive."""
    sys.path.insert(0, str(TESTS / "cases"))
    import programs

    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive, tempfile.TemporaryDirectory() as folder:
        for name, (layer, shapes) in programs.networks(paddle).items():
            replay.Namespace(paddle, False).fixed(layer)
            layer.eval()
            base = str(Path(folder) / name)
            specs = [paddle.static.InputSpec([-1, *shape[1:]], kind) for shape, kind in shapes]
            paddle.jit.save(layer, base, specs, clip_extra=True)
            for ending in (".pdmodel", ".pdiparams"):
                if Path(base + ending).exists():
                    archive.write(base + ending, name + ending)
            inputs = programs.inputs(shapes)
            outputs = layer(*map(paddle.to_tensor, inputs))
            outputs = [y.numpy() for y in (outputs if isinstance(outputs, (list, tuple)) else [outputs])]
            stream = io.BytesIO()
            np.savez(stream, *outputs)
            archive.writestr(name + ".npz", stream.getvalue())
    (RECORDED / "programs.zip").write_bytes(made.getvalue())


def check(folder: Path) -> int:
    """Load ``linear.pdparams`` and ``linear.pdopt`` into a network and an optimizer; print what is then there."""
    layer = paddle.nn.Linear(3, 2)
    missing, unexpected = layer.set_state_dict(paddle.load(str(folder / "linear.pdparams")))
    adam = paddle.optimizer.Adam(paddle.optimizer.lr.StepDecay(0.1, 1), parameters=layer.parameters())
    state = paddle.load(str(folder / "linear.pdopt"))
    adam.set_state_dict(state)
    print(
        json.dumps(
            {
                "missing": list(missing),
                "unexpected": list(unexpected),
                "weight": layer.weight.numpy().ravel().tolist(),
                "state": sorted(state),
                "rate": adam.get_lr(),
                "power": float(adam.state_dict()[f"{layer.weight.name}_beta1_pow_acc_0"].numpy().ravel()[0]),
            }
        )
    )
    return 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", type=Path, metavar="DIR", help="read files that freshpot wrote")
    parser.add_argument("--names", action="store_true", help="write the public names only")
    parser.add_argument("--programs", action="store_true", help="write inference files only")
    parser.add_argument("--only", default="", metavar="TABLE", help="record one table")
    arguments = parser.parse_args()
    if arguments.check:
        return check(arguments.check)
    if arguments.names:
        write_names()
        return 0
    RECORDED.mkdir(exist_ok=True)
    if arguments.programs:
        write_programs()
        return 0
    old = os.environ.get("FLAGS_enable_pir_api") == "0"  # noqa: SIM112
    wanted = [
        t
        for t in replay.tables()
        if arguments.only == t or (not arguments.only and t.endswith("_old") == old)
    ]
    refused = sum(record(t, replay.tables()[t]) for t in wanted)
    if not arguments.only:
        write_files()
    print(f"recorded with paddlepaddle {paddle.__version__}; {refused} refused")
    return 0


if __name__ == "__main__":
    sys.exit(main())
