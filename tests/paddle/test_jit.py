"""Networks in files: saved and read back, the original's read, damaged ones refused."""

from __future__ import annotations

import contextlib
import io
import random
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import freshpot.paddle as paddle
from freshpot.errors import ArgumentError, FormatError, FreshpotError, NotSupportedError
from freshpot.formats.protobuf import load, parse_message
from freshpot.paddle.static import InputSpec

nn, F, jit = paddle.nn, paddle.nn.functional, paddle.jit
ARCHIVE = Path(__file__).parent / "recorded" / "programs.zip"
NAMES = sorted({Path(name).stem for name in zipfile.ZipFile(ARCHIVE).namelist()})


def unpacked(folder: Path, name: str) -> tuple[str, list[Any], list[Any]]:
    """Where a recorded network lies, its inputs, its outputs."""
    with zipfile.ZipFile(ARCHIVE) as archive:
        archive.extractall(
            folder, [n for n in archive.namelist() if n.startswith(name + ".") and "npz" not in n]
        )
        outputs = list(np.load(io.BytesIO(archive.read(name + ".npz"))).values())
    layer = jit.load(str(folder / name))
    shapes = [([2 if n < 0 else n for n in s.shape], s.dtype.name) for s in layer._input_spec()]
    return str(folder / name), given(shapes), outputs


def given(shapes: Any) -> list[Any]:
    import cases.programs as programs

    return [paddle.to_tensor(array) for array in programs.inputs(shapes)]


@pytest.mark.parametrize("name", NAMES)
def test_the_original_s_programs(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    path, inputs, wanted = unpacked(tmp_path, name)
    found = jit.load(path)(*inputs)
    found = found if isinstance(found, list) else [found]
    assert len(found) == len(wanted)
    for place, (ours, theirs) in enumerate(zip(found, wanted, strict=True)):
        assert ours.shape == list(theirs.shape), place
        assert np.allclose(ours.numpy(), theirs, 2e-5, 2e-5), place


def test_the_original_s_program_learns_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    path, inputs, _ = unpacked(tmp_path, "convolutions")
    layer = jit.load(path)
    layer.train()
    step = paddle.optimizer.Adam(0.05, parameters=layer.parameters())
    losses = []
    for _ in range(20):
        loss = -paddle.log(layer(*inputs)[:, 0]).mean()
        loss.backward()
        step.step()
        step.clear_grad()
        losses.append(float(loss))
    assert losses[-1] < 0.2 * losses[0]
    jit.save(layer, str(tmp_path / "again"), [InputSpec([None, 3, 8, 8])])
    layer.eval()
    assert np.allclose(jit.load(str(tmp_path / "again"))(*inputs).numpy(), layer(*inputs).numpy(), atol=1e-5)


# ---- damage -------------------------------------------------------------------------------------------------
def test_every_truncation_of_a_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    path, _, _ = unpacked(tmp_path, "words")
    for ending in (".pdmodel", ".pdiparams"):
        file = Path(path + ending)
        whole = file.read_bytes()
        for length in range(0, len(whole), max(1, len(whole) // 60)):
            file.write_bytes(whole[:length])
            with pytest.raises((FormatError, NotSupportedError)):
                jit.load(path)
        file.write_bytes(whole)


def test_damaged_bytes_are_an_error_or_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    path, inputs, _ = unpacked(tmp_path, "words")
    chance = random.Random(3)
    for ending in (".pdmodel", ".pdiparams"):
        file = Path(path + ending)
        whole = file.read_bytes()
        for _ in range(150):
            bad = bytearray(whole)
            for _ in range(chance.randint(1, 3)):
                bad[chance.randrange(len(bad))] = chance.randrange(256)
            file.write_bytes(bytes(bad))
            with contextlib.suppress(FreshpotError):
                jit.load(path)(*inputs)
        file.write_bytes(whole)


def changed(path: str, change: Callable[[Any], Any]) -> None:
    file = Path(path + ".pdmodel")
    desc = parse_message(load("paddle").ProgramDesc, file.read_bytes())
    change(desc)
    file.write_bytes(desc.SerializePartialToString())


def retyped(desc: Any) -> None:
    desc.blocks[0].ops[1].type, desc.blocks[0].ops[2].type = "while", "beam_search"


def resized(desc: Any) -> None:
    for variable in desc.blocks[0].vars:
        if variable.persistable and variable.type.type == 7:
            variable.type.lod_tensor.tensor.dims.append(3)


def forgetful(desc: Any) -> None:
    next(v for v in desc.blocks[0].vars if v.persistable and v.name.endswith(".b_0")).persistable = False


def misread(desc: Any) -> None:
    desc.blocks[0].ops[2].inputs[0].arguments[0] = "lost"


DAMAGE: dict[str, tuple[Callable[[Any], Any], type[FreshpotError], str]] = {
    "unknown operators": (retyped, NotSupportedError, "not done here: beam_search, while"),
    "Paddle 3": (
        lambda d: setattr(d.version, "version", 3_001_000), NotSupportedError, "program of Paddle 3; 1.0 to 2.6",
    ),
    "a variable from nowhere": (misread, FormatError, "reads 'lost'"),
    "no outputs": (lambda d: d.blocks[0].ops.pop(), FormatError, "there are none"),
    "no operators": (lambda d: d.blocks[0].ops.__delitem__(slice(None)), FormatError, "it has no operators"),
    "a parameter of another size": (resized, FormatError, "the program says"),
    "one parameter less": (forgetful, FormatError, r"reads '\w+.b_0'"),
}  # fmt: skip


@pytest.mark.parametrize("name", DAMAGE)
def test_wrong_programs(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    change, kind, said = DAMAGE[name]
    path, _, _ = unpacked(tmp_path, "words")
    changed(path, change)
    with pytest.raises(kind, match=said):
        jit.load(path)


def test_a_program_of_paddle_3(tmp_path: Path) -> None:
    (tmp_path / "net.json").write_text("{}")
    with pytest.raises(NotSupportedError, match=r"net.json: a program of Paddle 3"):
        jit.load(str(tmp_path / "net"))


# ---- our own ------------------------------------------------------------------------------------------------
def small() -> Any:
    paddle.seed(2)
    return nn.Sequential(
        nn.Conv2D(1, 2, 3), nn.BatchNorm2D(2), nn.ReLU(), nn.Flatten(), nn.Dropout(0.5), nn.Linear(72, 3)
    )


@pytest.mark.filterwarnings("error")
def test_saved_and_read(tmp_path: Path) -> None:
    net = jit.to_static(small(), input_spec=[InputSpec([None, 1, 8, 8], name="image")])
    jit.save(net, str(tmp_path / "sub" / "net"))
    assert all(layer.training for layer in net.sublayers())
    net.eval()
    read = jit.load(str(tmp_path / "sub" / "net"))
    assert isinstance(read, jit.TranslatedLayer)
    assert set(read.state_dict()) == set(net.state_dict())
    for batch in (1, 2, 7):
        x = paddle.randn([batch, 1, 8, 8])
        assert np.allclose(read(x).numpy(), net(x).numpy(), atol=1e-6)
    read.train()
    loss = read(x).sum()
    loss.backward()
    assert all(p.grad is not None for p in read.parameters())


class Marked(nn.Layer):  # type: ignore[misc, name-defined]
    """Its forward is marked where it is defined."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(4, 2)

    @jit.to_static
    def forward(self, x: Any) -> Any:
        return F.relu(self.fc(x))

    @jit.to_static(input_spec=[InputSpec([None, 4])])
    def twice(self, x: Any) -> Any:
        """Another way through."""
        return self.fc(x) * 2.0


def test_marked_where_it_is_defined(tmp_path: Path) -> None:
    net, other = Marked(), Marked()
    with pytest.raises(ArgumentError, match=r"input_spec=\[InputSpec"):
        jit.save(net, str(tmp_path / "net"))
    x = paddle.randn([3, 4])
    wanted = net(x)
    assert net.forward.input_spec[0].shape == (3, 4)
    assert other.forward.input_spec is None
    jit.save(net, str(tmp_path / "net"))
    assert np.allclose(jit.load(str(tmp_path / "net"))(x).numpy(), wanted.numpy())
    jit.save(net.twice, str(tmp_path / "twice"))
    assert np.allclose(jit.load(str(tmp_path / "twice"))(x).numpy(), net.twice(x).numpy())
    model = paddle.Model(net)
    model.prepare(paddle.optimizer.SGD(0.1, model.parameters()), nn.MSELoss())
    assert model.train_batch([x], [paddle.zeros([3, 2])])


def test_a_function(tmp_path: Path) -> None:
    double = jit.to_static(lambda x, y: x * 2 + y, input_spec=[InputSpec([None, 3]), InputSpec([None, 3])])
    x = paddle.ones([2, 3])
    assert double(x, x).numpy().tolist() == [[3.0] * 3] * 2
    jit.save(double, str(tmp_path / "f"))
    assert jit.load(str(tmp_path / "f"))(x, x).numpy().tolist() == [[3.0] * 3] * 2


def test_the_switch() -> None:
    jit.enable_to_static(False)
    try:
        assert not isinstance(jit.to_static(small()).forward, jit.StaticFunction)
    finally:
        jit.ProgramTranslator.get_instance().enable(True)
    assert isinstance(jit.to_static(small()).forward, jit.StaticFunction)


def test_traced(tmp_path: Path) -> None:
    net = small()
    net.eval()
    x = paddle.randn([2, 1, 8, 8])
    out, traced = jit.TracedLayer.trace(net, [x])
    traced.save_inference_model(str(tmp_path / "net"))
    assert np.allclose(traced([x])[0].numpy(), out.numpy())
    assert np.allclose(jit.load(str(tmp_path / "net"))(x).numpy(), out.numpy(), atol=1e-6)


SPEC = [InputSpec([None, 1, 8, 8])]
X = paddle.ones([2, 1, 8, 8])


def saved(path: Path) -> Any:
    jit.save(small(), str(path), SPEC)
    return jit.load(str(path))


def traced(path: Path) -> Any:
    return jit.TracedLayer.trace(small(), [X])[1].save_inference_model(str(path), fetch=[0])


REFUSED: dict[str, tuple[Callable[[Path], Any], type[FreshpotError], str]] = {
    "open sizes": (
        lambda p: jit.save(small(), str(p), [InputSpec([None, 1, None, 8])]), NotSupportedError, "only the first",
    ),
    "output_spec": (lambda p: jit.save(small(), str(p), SPEC, output_spec=[1]), NotSupportedError, "output_spec"),
    "a number": (lambda p: jit.to_static(3), ArgumentError, "int is no function"),
    "the number of inputs": (lambda p: saved(p)(X, X), ArgumentError, "takes 1 inputs"),
    "a choice of outputs": (traced, NotSupportedError, "fetch"),
    "a model without inputs": (
        lambda p: paddle.Model(small()).save(str(p), training=False), ArgumentError, "Model.save: what goes in",
    ),
    "onnx of an open size": (
        lambda p: paddle.onnx.export(small(), str(p), [InputSpec([None, 1, -1, 8])]), NotSupportedError, "onnx.export",
    ),
    "onnx's outputs": (
        lambda p: paddle.onnx.export(small(), str(p), SPEC, output_spec=[1]), NotSupportedError, "output_spec",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_refused(tmp_path: Path, name: str) -> None:
    work, kind, said = REFUSED[name]
    with pytest.raises(kind, match=said):
        work(tmp_path / "net")


def test_a_model_for_use(tmp_path: Path) -> None:
    net = small()
    paddle.Model(net, SPEC).save(str(tmp_path / "net"), training=False)
    net.eval()
    assert np.allclose(jit.load(str(tmp_path / "net"))(X).numpy(), net(X).numpy(), atol=1e-6)


def test_onnx(tmp_path: Path) -> None:
    paddle.onnx.export(small(), str(tmp_path / "net"), SPEC)
    model = parse_message(load("onnx").ModelProto, (tmp_path / "net.onnx").read_bytes())
    kinds = [node.op_type for node in model.graph.node]
    assert kinds[0] == "Conv"
    assert kinds[-1] == "Gemm"
    assert len(model.graph.input) == 1


def test_parameters_of_a_network_by_name(tmp_path: Path) -> None:
    with paddle.utils.unique_name.guard():
        layer = paddle.nn.Linear(3, 2)
        paddle.jit.save(layer, str(tmp_path / "net"), [paddle.static.InputSpec([None, 3])])
        state = paddle.load(str(tmp_path / "net"))
        assert set(state) == {"linear_0.w_0", "linear_0.b_0"}
    with paddle.utils.unique_name.guard():
        other = paddle.nn.Linear(3, 2)
    assert other.set_state_dict(state, use_structured_name=False) == ([], [])
    np.testing.assert_array_equal(other.weight.numpy(), layer.weight.numpy())
    fluid: Any = paddle.fluid
    paddle.enable_static()
    try:
        with fluid.program_guard(fluid.Program(), fluid.Program()):
            x = fluid.data("x", [None, 3])
            out = fluid.layers.fc(x, 2)
            exe = fluid.Executor()
            exe.run(fluid.default_startup_program())
            names = {p.name for p in fluid.default_main_program().all_parameters()}
            fluid.io.save_inference_model(str(tmp_path / "folder"), ["x"], [out], exe)
            fluid.io.save_params(exe, str(tmp_path / "parts"))
    finally:
        paddle.disable_static()
    assert set(paddle.load(str(tmp_path / "folder"))) == set(paddle.load(str(tmp_path / "parts"))) == names
    assert paddle.jit.load(str(tmp_path / "folder"))(paddle.ones([4, 3])).shape == [4, 2]
    (tmp_path / "parts" / min(names)).write_bytes(b"nothing")
    with pytest.raises(FormatError):
        paddle.load(str(tmp_path / "parts"))
