"""Cases evaluated with a given Paddle, the real one or freshpot's, and their results as plain data.

`scripts/record_paddle.py` runs this under the real package and writes what it gives; `test_recorded.py` runs it
under freshpot and compares. It imports neither.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import re
from pathlib import Path
from typing import Any

import numpy as np


def _wave(*shape: int, phase: float = 0.0) -> Any:
    """Float32 between -1.5 and 1.5, without ties and away from 0."""
    count = int(np.prod(shape))
    values = np.cos(np.arange(count) * 1.7 + phase) * 1.5 + np.arange(count) * 1e-3
    return values.reshape(shape).astype(np.float32)


ARRAYS = {
    "x": _wave(2, 3),
    "y": _wave(2, 3, phase=1.0),
    "p": (_wave(2, 3, phase=0.5) / 4 + 0.5).astype(np.float32),  # 0.1 to 0.9
    "v": _wave(4, phase=2.0),
    "u": _wave(3, phase=0.3),
    "w": _wave(3, 4, phase=0.7),
    "sq": (_wave(3, 3) + 3 * np.eye(3)).astype(np.float32),
    "x3": _wave(2, 3, 4, phase=0.2),
    "y3": _wave(2, 4, 2, phase=0.9),
    "im": _wave(2, 2, 4, 4, phase=0.4),
    "im4": _wave(1, 4, 4, 4, phase=0.4),
    "big": _wave(1, 1, 6, 5, phase=1.4),
    "seq": _wave(2, 2, 5, phase=0.6),
    "vol": _wave(1, 2, 3, 4, 3, phase=0.8),
    "i": np.array([[3, -2, 5], [0, 7, -4]], np.int64),
    "j": np.array([[2, 3, -1], [4, -2, 5]], np.int64),
    "c": np.array([2, 0], np.int64),  # classes
    "n": np.array([1, 0, 2, 1], np.int32),
    "b": np.array([[True, False, True], [False, False, True]]),
    "d": np.array([[False, False, True], [True, False, True]]),
    "z": np.array([0.0, np.inf, -np.inf, np.nan, 1.0], np.float32),
    "k": np.array([3.0, 1.0, 2.0, 3.0, 1.0, 1.0], np.float32),
}


class Namespace(dict):  # type: ignore[type-arg]
    """What an expression of a case can name: the modules, fresh inputs on demand, and the helpers below."""

    def __init__(self, paddle: Any, learning: bool) -> None:
        super().__init__(paddle=paddle, np=np, nn=paddle.nn, F=paddle.nn.functional, Tensor=paddle.Tensor)
        self.update(lr=paddle.optimizer.lr, opt=paddle.optimizer, pio=paddle.io, init=paddle.nn.initializer)
        self.update(T=paddle.vision.transforms, fixed=self.fixed, run=self.run, steps=self.steps)
        self.update(rates=self.rates, printed=self.printed, filled=self.filled, picture=picture)
        self.update(LeNet=paddle.vision.models.LeNet, Numbers=_numbers(paddle), clipped=self.clipped)
        self.update(network=self.network)
        self.leaves: dict[str, Any] = {}
        self._learning = learning

    def __missing__(self, name: str) -> Any:
        if name not in ARRAYS:
            raise KeyError(name)
        made = self["paddle"].to_tensor(ARRAYS[name])
        if self._learning and ARRAYS[name].dtype.kind == "f":
            made.stop_gradient = False
            self.leaves[name] = made
        self[name] = made
        return made

    # ---- helpers of cases ----
    def fixed(self, layer: Any) -> Any:
        """The layer with parameters that do not depend on chance."""
        for number, parameter in enumerate(layer.parameters()):
            values = _wave(*parameter.shape, phase=number) * 0.4
            if np.any(
                [parameter is value for name, value in layer.state_dict().items() if "_variance" in name]
            ):
                values = np.abs(values) + 0.1
            parameter.set_value(values if parameter.shape else values.reshape(parameter.shape))
        return layer

    def run(self, layer: Any, *inputs: Any, **more: Any) -> Any:
        """Outputs, and the names and shapes of what the layer would save; its parameters count as inputs."""
        self.fixed(layer)
        self.leaves.update(layer.named_parameters())
        out = layer(*inputs, **more)
        return [out, [[name, list(value.shape)] for name, value in layer.state_dict().items()]]

    def network(self, name: str, size: int = 0, train: bool = False, **options: Any) -> Any:
        """A network of vision.models: how many parameters and buffers, a digest of their names and shapes, and for
        pictures of ``size`` the first scores over the largest of them."""
        made = getattr(self["paddle"].vision.models, name)(**options)
        state = made.state_dict()
        lines = [f"{key} {list(value.shape)} {value.name}" for key, value in state.items()]
        said = [len(lines), hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]]
        if not size:
            return said
        for number, (key, value) in enumerate(state.items()):
            chance = np.random.RandomState(number).rand(*value.shape).astype(np.float32)
            fan = float(np.prod(value.shape[1:] if value.ndim == 4 else value.shape[:1]))
            if value.ndim > 1:
                chance = (chance - 0.5) * np.float32(np.sqrt(24 / fan))
            value.set_value(chance + 0.5 if value.ndim == 1 and not key.endswith("bias") else chance)
        (made.train if train else made.eval)()
        pictures = np.random.RandomState(5).randn(2, 1 if name == "LeNet" else 3, size, size)
        scores = made(self["paddle"].to_tensor(pictures.astype(np.float32)))
        scores = [
            part.numpy().ravel() for part in (scores if isinstance(scores, (list, tuple)) else [scores])
        ]
        return [*said, [part[:6] / np.abs(part).max() for part in scores]]

    def steps(self, make: Any, count: int = 20) -> Any:
        """Parameters after 1, 5 and ``count`` steps of an optimizer on a small problem, and its state's names."""
        layer = self.fixed(self["nn"].Linear(3, 2))
        optimizer = make(list(layer.parameters()))
        seen = []
        for step in range(1, count + 1):
            x = self["paddle"].to_tensor(_wave(4, 3, phase=step * 0.1))
            loss = ((layer(x) - 1.0) ** 2).sum()
            loss.backward()
            optimizer.step()
            optimizer.clear_grad()
            if step in (1, 5, count):
                seen.append([float(loss), layer.weight.numpy(), layer.bias.numpy()])
        names = {layer.weight.name: "weight", layer.bias.name: "bias"}
        state = sorted(
            re.sub("|".join(map(re.escape, names)), lambda hit: names[hit[0]], key)
            for key in optimizer.state_dict()
            if key != "master_weights"
        )
        return [seen, state]

    def clipped(self, clip: Any) -> Any:
        """Gradients (as pairs with parameters) through a clip."""
        layer = self.fixed(self["nn"].Linear(3, 2))
        (layer(self["paddle"].to_tensor(ARRAYS["x"])) * 3.0).sum().backward()
        return [grad for _, grad in clip([(p, p.grad) for p in layer.parameters()])]

    def rates(self, scheduler: Any, count: int = 12, tell: Any = None) -> list[float]:
        """The rates of so many steps; ``tell`` gives what ``step`` is told."""
        made = [float(scheduler())]
        for number in range(count):
            scheduler.step(*([] if tell is None else [tell(number)]))
            made.append(float(scheduler()))
        return made

    def filled(self, initializer: Any, *shape: int) -> Any:
        """A parameter that an initialiser made."""
        return self["paddle"].create_parameter(list(shape), "float32", default_initializer=initializer)

    def printed(self, work: Any) -> str:
        """What is printed, times taken out."""
        with contextlib.redirect_stdout(io.StringIO()) as out:
            work()
        text = re.sub(r"\d+(ms|us|s)/step", "TIME/step", out.getvalue())
        text = re.sub(r"(?m)^The loss value printed in the log .*\n", "", text)  # 2.0-beta did not say it
        text = re.sub(
            r"(?<=/step) +(?=[\r\n])", "", text.replace("\b", "")
        )  # what is wiped out depends on times
        return re.sub(r"ETA: [\d:]+s?", "ETA", text)


def _numbers(paddle: Any) -> Any:
    class Numbers(paddle.io.Dataset):  # type: ignore[misc, name-defined]
        """Twelve small samples with labels."""

        def __init__(self, count: int = 12) -> None:
            super().__init__()
            self.count = count

        def __getitem__(self, index: int) -> Any:
            return _wave(3, phase=index), np.array([index % 2], np.int64)

        def __len__(self) -> int:
            return self.count

    return Numbers


def picture(*shape: int) -> Any:
    """Bytes that look like a picture, (H, W) or (H, W, C)."""
    return (np.arange(int(np.prod(shape))) * 37 % 251).astype(np.uint8).reshape(shape)


def evaluate(paddle: Any, text: str) -> Any:
    """The result of a case as plain data; for one expression on floats also gradients of its inputs."""
    with paddle.utils.unique_name.guard():
        paddle.seed(1)
        np.random.seed(1)
        try:
            return _evaluate(paddle, text, Namespace(paddle, learning=True))
        finally:
            paddle.disable_static()


def _evaluate(paddle: Any, text: str, names: Namespace) -> Any:
    if "\n" in text:
        exec(text, names)
        return encode(paddle, names["result"])
    result = eval(text, names)
    made = {"result": encode(paddle, result)}
    tops = [t for t in _tensors(paddle, result) if not t.stop_gradient and "float" in str(t.dtype)]
    if tops and names.leaves:
        total = sum((top * paddle.to_tensor(_wave(*top.shape, phase=3.0))).sum() for top in tops)
        total.backward()
        made["grad"] = {
            name: encode(paddle, leaf.grad) for name, leaf in names.leaves.items() if leaf.grad is not None
        }
    return made


def _tensors(paddle: Any, value: Any) -> list[Any]:
    if isinstance(value, paddle.Tensor):
        return [value]
    if isinstance(value, dict):
        value = list(value.values())
    return [t for part in value for t in _tensors(paddle, part)] if isinstance(value, (list, tuple)) else []


def encode(paddle: Any, value: Any) -> Any:
    """Plain data of json: tensors as {"t": type, "s": shape, "v": values}, arrays as {"a": ...}."""
    if isinstance(value, paddle.Tensor):
        name = str(value.dtype).rpartition(".")[2]
        return {"t": name, "s": list(value.shape), "v": _values(value.numpy())}
    if isinstance(value, (np.ndarray, np.generic)):
        return {"a": value.dtype.name, "s": list(value.shape), "v": _values(np.asarray(value))}
    if isinstance(value, dict):
        return {str(key): encode(paddle, part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [encode(paddle, part) for part in value]
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float):
        return float(f"{value:.6g}")
    if hasattr(value, "getpixel"):  # PIL's picture
        return {"pil": value.mode, **encode(paddle, np.asarray(value))}
    raise TypeError(f"a case gave {type(value).__name__}, which is no plain data")


def _values(array: Any) -> list[Any]:
    if array.dtype.kind == "c":
        return [[float(f"{v.real:.6g}"), float(f"{v.imag:.6g}")] for v in array.ravel().tolist()]
    if array.dtype.kind in "fV":
        return [float(f"{v:.6g}") for v in array.astype(np.float64).ravel().tolist()]
    return [int(v) for v in array.ravel().tolist()]


def differences(found: Any, wanted: Any, tolerance: float, place: str = "result") -> list[str]:
    """Where two results differ, in words; empty when they agree."""
    if (
        isinstance(wanted, dict)
        and wanted.get("s") == []
        and "a" in wanted
        and isinstance(found, (int, float))
    ):
        wanted = wanted["v"][0]  # a number of numpy's: freshpot gives Python's, which print the same digits
    if isinstance(wanted, dict) and {"v", "s"} <= set(wanted):
        if not isinstance(found, dict) or "v" not in found:
            return [f"{place}: {found!r}, expected {wanted!r}"]
        kinds = {key: (found.get(key), wanted.get(key)) for key in ("t", "a", "pil", "s")}
        wrong = [f"{place}: {key} {a!r}, expected {b!r}" for key, (a, b) in kinds.items() if a != b]
        if wrong:
            return wrong
        a, b = np.array(found["v"], np.float64), np.array(wanted["v"], np.float64)
        exact = "float" not in str(wanted.get("t") or wanted.get("a")) and "complex" not in str(
            wanted.get("t")
        )
        if (exact and (a == b).all()) or (
            np.allclose(a, b, tolerance, tolerance, equal_nan=True) and not exact
        ):
            return []
        return [f"{place}: {np.round(a, 5).tolist()[:12]}, expected {np.round(b, 5).tolist()[:12]}"]
    if isinstance(wanted, dict):
        if not isinstance(found, dict) or set(found) != set(wanted):
            return [
                f"{place}: {found if not isinstance(found, dict) else sorted(found)}, expected {sorted(wanted)}"
            ]
        return [
            d for key in wanted for d in differences(found[key], wanted[key], tolerance, f"{place}.{key}")
        ]
    if isinstance(wanted, list):
        if not isinstance(found, list) or len(found) != len(wanted):
            return [f"{place}: {found!r}, expected {wanted!r}"]
        pairs = enumerate(zip(found, wanted, strict=True))
        return [d for i, (a, b) in pairs for d in differences(a, b, tolerance, f"{place}[{i}]")]
    if isinstance(wanted, (int, float)) and isinstance(found, float):
        same = np.allclose(found, wanted, tolerance, tolerance, equal_nan=True)
        return [] if same else [f"{place}: {found!r}, expected {wanted!r}"]
    same = type(found) is type(wanted) and found == wanted
    return [] if same else [f"{place}: {found!r}, expected {wanted!r}"]


def tables() -> dict[str, list[str]]:
    """The cases by table: a line of cases/<table>.txt each, or an indented block after ``program:``."""
    made = {}
    for path in sorted((Path(__file__).parent / "cases").glob("*.txt")):
        found: list[str] = []
        block: list[str] | None = None
        for line in [*path.read_text(encoding="utf-8").splitlines(), ""]:
            if block is not None and (line.startswith("    ") or not line):
                block.append(line[4:])
                continue
            if block is not None:
                found.append("\n".join(block).rstrip() + "\n")
                block = None
            if line == "program:":
                block = []
            elif line and not line.startswith("#"):
                found.append(line)
        if block is not None:
            found.append("\n".join(block).rstrip() + "\n")
        made[path.stem] = list(dict.fromkeys(found))
    return made
