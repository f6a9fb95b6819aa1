"""freshpot bench: its table, what failures and interrupts leave behind, other processes. Never times."""

from __future__ import annotations

import os
import re
import stat
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from freshpot import cli
from freshpot.bench import report, rows, suite
from freshpot.bench.jobs import lenet, scripts
from freshpot.bench.jobs._contest import Rival, contest, local, one_line, original_caffe2, packaged
from freshpot.bench.remote import Remote, last_words
from freshpot.bench.rows import JOBS, Curve, Job, Options, Row
from freshpot.bench.timing import Local, alternate, medians, table
from freshpot.errors import DataError, NotSupportedError

QUICK = Options(threads=1, quick=True, say=lambda line: None)


class Clock:
    """Takes as long as it says."""

    version = "clock 1.0"

    def __init__(self, seconds: float) -> None:
        self.seconds, self.calls, self.closed = seconds, [], False  # type: ignore[var-annotated]

    def time(self, calls: int) -> float:
        self.calls.append(calls)
        return self.seconds

    def close(self) -> None:
        self.closed = True


def failing(*_: Any) -> Any:
    raise ValueError("no | luck")


# ---------------------------------------------------------------------------------- timing


def test_medians_leave_out_what_fails() -> None:
    class Later(Clock):
        def time(self, calls: int) -> float:
            if len(self.calls) == 4:
                failing()
            return super().time(calls)

    heard: dict[str, Exception] = {}
    jobs = {"fast": Clock(0.001), "slow": Clock(1.0), "first": Local(failing), "later": Later(0.1)}
    found = medians(jobs, turn_s=0.1, rounds=5, on_error=heard.__setitem__)
    assert found == {"fast": 0.001, "slow": 1.0}
    assert sorted(heard) == ["first", "later"]
    assert jobs["fast"].calls == [3, 1, *[100] * 5]  # type: ignore[attr-defined]
    assert jobs["slow"].calls == [3, 1, *[1] * 5]  # type: ignore[attr-defined]
    long = Clock(9.0)
    assert medians({"long": long}, rounds=2, warm_up=0) == {"long": 9.0}
    assert long.calls == [1, 1]
    with pytest.raises(ValueError, match="luck"):
        medians({"first": Local(failing)})


def test_functions_alternate() -> None:
    order: list[str] = []
    jobs = {name: lambda name=name: order.append(name) for name in "ab"}  # type: ignore[misc]
    found = alternate(jobs, rounds=2, inner=2)
    assert "".join(order) == "aaabbb" + "aabb" * 2
    assert re.fullmatch(
        r"### t\n\n\| job .* a \|\n\|---.*\n\| a \| \d.* \| 1\.00 \|\n\| b \| .*", table("t", found, "a")
    )


# ---------------------------------------------------------------------------------- rows


@pytest.mark.parametrize(
    ("row", "line"),
    [
        (Row("w", "c", 0.02, 0.005, most=0.5, note="n"), "| w | c | 20.0 ms | 5.00 ms | 0.25 | ≤ 0.5 ✓ | n |"),
        (Row("w", "c", 2e-6, 5e-6, most=1.0), "| w | c | 2.00 µs | 5.00 µs | 2.50 | ≤ 1 ✗ |  |"),
        (Row("w", "c", 1.5, 1.7, most=0.3, added=True), "| w | c | 1.50 s | 1.70 s | + 200 ms | ≤ + 300 ms ✓ |  |"),
        (Row("w", "c", 1.5, 1.25, added=True), "| w | c | 1.50 s | 1.25 s | − 250 ms |  |  |"),
        (Row("w", "c", 100, 123.4, "MB"), "| w | c | 100 MB | 123 MB | 1.23 |  |  |"),
        (Row("w", "c", note="why", most=0.5), "| w | c | – | – | – | ≤ 0.5 | why |"),
        (Row("w", "c", ours=0.1, note="why"), "| w | c | – | 100 ms | – |  | why |"),
    ],
)  # fmt: skip
def test_a_row_in_the_table(row: Row, line: str) -> None:
    assert report._line(row) == line


@pytest.mark.parametrize(
    ("row", "line"),
    [
        (Row("w", "c", 0.02, 0.005), "w | c 20.0 ms, ours 5.00 ms: 0.25"),
        (Row("w", "c", note="not there"), "w | c: not there"),
    ],
)
def test_a_row_on_the_terminal(row: Row, line: str) -> None:
    assert report.one_row(row) == line


# ---------------------------------------------------------------------------------- contests


def test_a_contest_has_a_row_for_each_rival_whatever_happens() -> None:
    mine, theirs = Clock(1.0), Clock(2.0)
    rivals = [
        Rival("a", lambda: theirs, 0.5, "a note"),
        Rival("b", failing, 0.7),
        Rival("c", local(lambda: failing)),
        packaged(QUICK, "no_such_package", "N", "caffe2_lenet"),
        original_caffe2(QUICK, "caffe2_lenet", 0.35),
    ]
    found = list(contest(QUICK, "work", lambda: mine, rivals, times=10))
    assert found == [
        Row("work", "clock 1.0", 20.0, 10.0, most=0.5, note="a note"),
        Row("work", "b", most=0.7, note="ValueError: no \\| luck"),
        Row("work", "c", note="ValueError: no \\| luck"),
        Row("work", "N", note="not measured: no_such_package is not installed"),
        Row("work", "Caffe2", most=0.35,
            note="not measured: name an interpreter that has it with --caffe2-python"),
    ]  # fmt: skip
    assert mine.closed
    assert theirs.closed


def test_if_we_fail_the_rows_say_so() -> None:
    (row,) = contest(QUICK, "work", failing, [Rival("a", lambda: Clock(1.0))])
    assert (row.ratio, row.note) == (None, "freshpot failed: ValueError: no \\| luck")


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (DataError("a\n b"), "a b"),
        (KeyError(), "KeyError: KeyError"),
        (OSError("x" * 500), "OSError: " + "x" * 191),
    ],
)
def test_an_error_in_a_cell(error: Exception, words: str) -> None:
    assert one_line(error) == words


# ---------------------------------------------------------------------------------- the suite


@pytest.fixture
def jobs(monkeypatch: pytest.MonkeyPatch) -> dict[str, Job]:
    """No benchmarks but those that a test adds."""
    made: dict[str, Job] = {}
    monkeypatch.setattr(rows, "JOBS", made)
    monkeypatch.setattr(suite, "JOBS", made)
    return made


def add(jobs: dict[str, Job], name: str, *results: Any) -> None:
    def run(options: Options) -> Iterator[Any]:
        for result in results:
            if isinstance(result, BaseException):
                raise result
            yield result

    jobs[name] = Job(name, f"the {name} one", run)


def test_the_files_have_everything(
    jobs: dict[str, Job], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    add(jobs, "first", Row("work", "rival 1", 0.2, 0.1, most=0.4))
    add(jobs, "broken", Row("half", "rival 2", 1, 1), RuntimeError("it broke"))
    add(
        jobs,
        "growth",
        Curve("grow", "freshpot", "batch", [1, 64], [0.1, 0.2]),
        Row("grow, batch 1", "r", 1, 1),
    )
    assert cli.main(["bench", "--threads", "1", "--out", str(tmp_path / "new" / "out")]) == 0
    text = (tmp_path / "new" / "out" / "bench.md").read_text(encoding="utf-8")
    assert re.search(r"\d cores, 1 thread; freshpot .*, Python .*, PyTorch .*, numpy .*\.\n", text)
    for line in (
        "| work | rival 1 | 200 ms | 100 ms | 0.50 | ≤ 0.4 ✗ |  |",
        "| half | rival 2 | 1.00 s | 1.00 s | 1.00 |  |  |",
        "| the broken one | - | – | – | – |  | failed: RuntimeError: it broke |",
        "![Ratios, and how cost grows](bench.svg)",
    ):
        assert line in text.splitlines()
    assert "not finished" not in text
    picture = (tmp_path / "new" / "out" / "bench.svg").read_text(encoding="utf-8")
    assert picture.lstrip().startswith("<?xml")
    assert "work  /  rival 1" in picture
    assert "grow, batch 1" not in picture  # the curves show it
    out = capsys.readouterr().out
    assert "[1/3] the first one" in out
    assert "    work | rival 1 200 ms, ours 100 ms: 0.50" in out
    assert out.endswith("bench.md\n")


def test_an_interrupt_keeps_what_was_measured(
    jobs: dict[str, Job], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    add(jobs, "first", Row("work", "rival", 0.2, 0.1), KeyboardInterrupt())
    add(jobs, "second", Row("never", "rival", 0.2, 0.1))
    assert cli.main(["bench", "--quick", "--out", str(tmp_path)]) == 130
    text = (tmp_path / "bench.md").read_text(encoding="utf-8")
    assert "| work | rival |" in text
    assert "never" not in text
    assert "The run was not finished" in text
    assert "Made with --quick" in text
    assert "interrupted" in capsys.readouterr().err


def test_only_some(jobs: dict[str, Job], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("one", "two", "three"):
        add(jobs, name, Row(name, "rival", note="x"))
    assert cli.main(["bench", "--only", "three", "one", "--out", str(tmp_path)]) == 0
    text = (tmp_path / "bench.md").read_text(encoding="utf-8")
    assert re.findall(r"^\| (\w+) \| rival", text, re.M) == ["one", "three"]
    assert not (tmp_path / "bench.svg").exists()  # no figure, no plot
    assert "bench.svg" not in text
    assert cli.main(["bench", "--list"]) == 0
    assert re.search(r"^two +the two one$", capsys.readouterr().out, re.M)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--only", "lennet"], "no benchmark is called 'lennet'; there are lenet, epoch,"),
        (["--only", "lennet"], "Did you mean lenet?"),
        (["--threads", "0"], "--threads must be at least 1, got 0."),
    ],
)
def test_wrong_use(capsys: pytest.CaptureFixture[str], arguments: list[str], words: str) -> None:
    assert cli.main(["bench", *arguments]) == 2
    assert words in capsys.readouterr().err


def test_the_benchmarks_there_are() -> None:
    assert {
        "lenet",
        "epoch",
        "char-rnn",
        "small-nets",
        "start",
        "memory",
        "growth-batch",
        "growth-depth",
    } <= set(JOBS)


@pytest.mark.parametrize(
    ("name", "works"),
    [
        ("char-rnn", {"char-RNN step, Caffe2 door"}),
        ("growth-depth", {"ResNet forward pass, 64 x 64, depth 18, Caffe2 door"}),
    ],
)
def test_benchmarks_run(name: str, works: set[str]) -> None:
    found = [result for result in JOBS[name].run(QUICK) if isinstance(result, Row)]
    assert {row.what for row in found} == works
    for row in found:
        assert (row.ratio is None) == ("not measured" in row.note), row


@pytest.mark.slow
@pytest.mark.parametrize("name", ["lenet", "epoch", "start", "memory", "growth-batch", "small-nets"])
def test_the_longer_benchmarks_run(name: str) -> None:
    options = Options(threads=1, quick=True, data="synthetic", say=lambda line: None)
    found = [result for result in JOBS[name].run(options) if isinstance(result, Row)]
    assert found
    for row in found:
        assert row.ratio is not None or row.note.startswith(("not measured", "left out")), row


# ---------------------------------------------------------------------------------- other processes


def test_a_program_of_another_process() -> None:
    with Remote(sys.executable, "torch_lenet", threads=1, original=False, batch=2) as remote:
        assert remote.version.startswith("PyTorch 2")
        assert remote.time(2) > 0
        answer = remote.ask(memory=True)
        assert 0 < answer["imported"] <= answer["peak"]
    with pytest.raises(DataError, match=r"torch_lenet in .* has ended"):
        remote.time(1)


@pytest.mark.parametrize(
    ("python", "program", "words"),
    [
        ("/no/such/python", "torch_lenet", r"/no/such/python cannot be started: No such file"),
        (sys.executable, "no_such", r"ended: ModuleNotFoundError: No module named 'programs\.no_such'"),
    ],
)
def test_a_program_that_does_not_start(python: str, program: str, words: str) -> None:
    with pytest.raises(DataError, match=words):
        Remote(python, program, threads=1)


def test_another_interpreter_does_not_get_our_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Or it would find freshpot's caffe2 instead of its own."""
    monkeypatch.setenv("PYTHONPATH", "/ours")
    python = executable(
        tmp_path / "python",
        """
        echo "@{\\"version\\": \\"path '$PYTHONPATH' threads $OMP_NUM_THREADS $1\\"}"
        read line
        """,
    )
    with Remote(str(python), "caffe2_lenet", threads=3) as remote:
        assert re.fullmatch(r"path '' threads 3 .*programs/serve\.py", remote.version)


def executable(path: Path, script: str) -> Path:
    path.write_text("#!/bin/sh\n" + textwrap.dedent(script))
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


CAFFE = """
if [ "$1" = --version ]; then echo "caffe version 1.0.0"; exit; fi
n=$(sed -n 's/.*display: \\([0-9]*\\).*/\\1/p' "${2#--solver=}")
echo "I1128 15:00:00.000001 1 solver.cpp:239] Iteration 0 (-nan iter/s, 0s/$n iters), loss = 2.3" >&2
for k in 1 2 3 4; do
  echo "I1128 15:00:00.000001 1 solver.cpp:239] Iteration $((k * n)) (9 iter/s, ${k}e-1s/$n iters), loss = 2.3" >&2
done
"""


def test_the_originals_command_is_timed_by_its_log(tmp_path: Path) -> None:
    caffe = lenet.CaffeTrain(str(executable(tmp_path / "caffe", CAFFE)), threads=1)
    assert caffe.version == "caffe version 1.0.0"
    assert caffe.time(10) == pytest.approx(0.03)  # of windows of 0.2, 0.3 and 0.4 s; the first is left out


@pytest.mark.parametrize(
    ("script", "words"),
    [
        (None, r"cannot be run: .*No such file"),
        ("echo oh dear >&2; exit 3", "failed: oh dear"),
        ("echo caffe version 1.0.0", "train did not log its speed: caffe version 1.0.0"),
    ],
)
def test_a_command_that_is_not_the_originals(tmp_path: Path, script: str | None, words: str) -> None:
    if script is not None:
        executable(tmp_path / "caffe", script)
    with pytest.raises(DataError, match=words):
        lenet.CaffeTrain(str(tmp_path / "caffe"), 1).time(1)


def test_the_original_command_must_be_named() -> None:
    with pytest.raises(NotSupportedError, match="name the original's command with --caffe-binary"):
        lenet.original_caffe(QUICK, None).make()


@pytest.fixture
def checkout(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The folder ``bench`` of a checkout without scripts."""
    monkeypatch.setattr(scripts.freshpot, "__file__", str(tmp_path / "src" / "freshpot" / "__init__.py"))
    (tmp_path / "bench").mkdir()
    return tmp_path / "bench"


@pytest.mark.parametrize("name", ["small_nets", "inference", "training"])
def test_scripts_come_with_the_checkout(checkout: Path, name: str) -> None:
    (row,) = JOBS[name.replace("_", "-")].run(QUICK)
    assert row.note == f"bench/{name}.py is not here: it comes with a checkout of freshpot"
    assert row.ratio is None


TABLES = """
print("ONNX Runtime left out: not installed.")
print("### one net, batch 1\\n\\n| job | median ms | ratio |\\n|---|---:|---:|")
print("| freshpot, Predictor | 4.0 | 0.5 |\\n| freshpot, Net | 6.0 | 0.75 |")
print("| PyTorch eager | 8.0 | 1.0 |\\n| ONNX Runtime | 5.0 | 0.6 |\\n")
print("### other\\n| Rival | 5.0 | 1 |")
"""


def test_tables_of_a_script_become_rows(checkout: Path) -> None:
    (checkout / "inference.py").write_text(TABLES.replace("\\\\", "\\"))
    assert list(JOBS["inference"].run(QUICK)) == [
        Row("one net, batch 1", "PyTorch eager", 0.008, 0.004, most=1.0, note="ours: freshpot, Predictor"),
        Row("one net, batch 1", "ONNX Runtime", 0.005, 0.004, most=1.1, note="ours: freshpot, Predictor"),
    ]


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("import sys; sys.exit('no luck')", "bench/training.py failed: no luck"),
        ("print('hello')", "bench/training.py printed no table with a row of freshpot's: hello"),
    ],
)
def test_a_script_that_goes_wrong(checkout: Path, script: str, words: str) -> None:
    (checkout / "training.py").write_text(script)
    (row,) = JOBS["training"].run(QUICK)
    assert row.note == words


@pytest.mark.parametrize(
    ("text", "words"), [("a\n b \n\n", "b"), ("", "it said nothing"), ("x" * 300, "x" * 200)]
)
def test_last_words(text: str, words: str) -> None:
    assert last_words(text) == words


# ---------------------------------------------------------------------------------- starting


@pytest.mark.parametrize(
    ("program", "absent"),
    [
        ("from freshpot.cli import main; main(['--help'])", ["torch", "numpy", "importlib.metadata"]),
        ("from freshpot.cli import main; main(['bench', '--help'])", ["torch", "numpy", "matplotlib"]),
        ("import caffe", ["matplotlib", "PIL", "cv2", "scipy", "requests", "fissix", "freshpot.viz"]),
        (
            "from freshpot.bench.programs import caffe_lenet as lenet; lenet.make(1, 2)()",
            ["sympy", "torch._dynamo", "torch._inductor", "torch.fx.experimental.symbolic_shapes"],
        ),
        (
            "import caffe2.python.core",
            ["matplotlib", "PIL", "cv2", "h5py", "requests", "fissix", "freshpot.viz"],
        ),
    ],
)
def test_what_a_start_does_not_import(program: str, absent: list[str]) -> None:
    code = textwrap.dedent(
        f"""
        import sys
        try:
            {program}
        except SystemExit:
            pass
        print([name for name in {absent!r} if name in sys.modules], file=sys.stderr)
        """
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True
    )
    assert done.stderr.splitlines()[-1] == "[]"
