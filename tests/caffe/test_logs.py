"""The `caffe` command beside recorded runs of the original: exit status, files, and every line of the log.

Times, processes and what depends on random numbers are masked: of those only the form is compared.
"""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from caffe._cli import main
from caffe.proto import caffe_pb2
from conftest import SHARED, needs_shared
from freshpot.data.datum import datum_to_array
from freshpot.data.reader import open_db
from freshpot.formats.idx import write_idx

FILES = SHARED / "reference/caffe/files" if SHARED else None
LOGS = json.loads((FILES / "index.json").read_text())["logs"] if FILES else {}
#: records whose numbers depend on initial weights
RANDOM = re.compile(
    r"PID (solver.cpp:(239|258|327|401|414)|caffe.cpp:(304|309|321|356|394|4\d\d)|net.cpp:(593|605|621|632|721)"
    r"|sgd_solver.cpp:93)\]"
)
#: records that come from another thread, or say how a library was used
ELSEWHERE = (
    "blocking_queue.cpp",
    "data_layer.cpp:73",
    "hdf5.cpp:33",
    "*** Check failure",
    "    @ ",
    "whereabouts.py",
)
NUMBER = re.compile(r"(?<![\w#.])-?\d+(\.\d+)?(e[+-]?\d+)?(?![\w.])")
#: our own words where the original has a failed check of its code
OWN_WORDS = {
    "caffe_train_missing_solver",
    "small_train_wrong_model",
    "caffe_device_query_gpu0",
    "caffe_unknown_action",
}
#: what must have run before, in the same folder
NEEDS = {
    "caffe_test": ["caffe_train"],
    "caffe_train_resume": ["caffe_train"],
    "caffe_train_finetune": ["caffe_train"],
    "extract_features": ["caffe_train"],
    "small_train_two_weights": ["small_train_clip", "small_train_hdf5"],
    "small_train_resume_hdf5": ["small_train_hdf5"],
}
OTHERS = ("caffe_help", "caffe_no_args", "caffe_version", "caffe_train_gpu")
RUNS = [name for name in LOGS if not name.startswith(OTHERS)]


def masked(text: str) -> list[str]:
    """Lines without times and processes, without numbers where those are random, without other threads' lines."""
    text = re.sub(
        r"^([IWEF])\d{4} \d\d:\d\d:\d\d\.\d+ +\d+ ", r"\1MMDD HH:MM:SS.UUUUUU  PID ", text, flags=re.M
    )
    # the table of copied weights is ours
    text = re.sub(r"^IMMDD \S+  PID net.cpp:770\] Copied weights:\n([^IWEF\n].*\n)*", "", text, flags=re.M)
    made = []
    for line in text.splitlines():
        if not any(word in line for word in ELSEWHERE):
            line = re.sub(r"\(\S+ iter/s, \S+s/", "(T iter/s, Ts/", line)
            line = re.sub(r": \S+ ms", ": T ms", line)
            made.append(NUMBER.sub("N", line) if RANDOM.search(line) else line)
    return made


def solver_of(name: str) -> str:
    """The solver that a log begins with."""
    text = (FILES / LOGS[name]["stderr"]).read_text().partition("from parameters: \n")[2]
    return re.sub(r"^train_state \{.*?^\}\n", "", text.partition("\nIMMDD")[0] + "\n", flags=re.M | re.S)


def records(path: Path):
    """Image and label of each record of a database."""
    with open_db("lmdb", path) as database:
        for _, value in database.cursor().take(1000):
            datum = caffe_pb2.Datum.FromString(value)
            yield datum_to_array(datum), datum.label


@pytest.fixture(scope="module")
def folder(shared, tmp_path_factory):
    """A working folder like the one the logs were made in; commands that others need run once."""
    where = tmp_path_factory.mktemp("logs") / "work"
    shutil.copytree(FILES, where)
    for old in where.glob("*_iter_*"):
        old.unlink()
    for path in where.glob("upgrade/*"):
        if ".upgraded." not in path.name:
            shutil.copy(path, where)
    for log in LOGS.values():
        if "solver" in log:
            (where / log["command"][3]).write_text(log["solver"])
    images_folder = where / "img"
    shutil.copytree(FILES.parent / "layers" / "aux", images_folder)
    (where / "resume_solver.prototxt").write_text(solver_of("caffe_train_resume"))
    images, labels = zip(*records(where / "mnist_200_lmdb"), strict=True)
    write_idx(where / "mnist_200-images-idx3-ubyte", np.concatenate(images))
    write_idx(where / "mnist_200-labels-idx1-ubyte", np.array(labels, np.uint8))
    return where


_done: dict[str, tuple[int, str]] = {}


def run(name: str, folder: Path, capsys: pytest.CaptureFixture) -> tuple[int, str]:
    """Exit status and standard error of a command; those it builds on run first, each once."""
    for before in NEEDS.get(name, []):
        run(before, folder, capsys)
    if name not in _done:
        command = LOGS[name]["command"]
        capsys.readouterr()
        status = main(command[1:] if command[0] == "caffe" else command)
        _done[name] = status, capsys.readouterr().err
    return _done[name]


@needs_shared
@pytest.mark.parametrize("name", RUNS or ["none"])
def test_log(name, folder, capsys, monkeypatch, request):
    if name.startswith(("caffe_t", "extract")) and not (folder / "mnist").exists():
        (folder / "mnist").symlink_to(request.getfixturevalue("mnist_lmdb"))
    monkeypatch.chdir(folder)
    if name == "convert_mnist_data_again":
        assert (folder / "mnist_200_lmdb").is_dir()
    elif name.startswith("convert_mnist_data"):
        shutil.rmtree(folder / LOGS[name]["command"][3], ignore_errors=True)
    status, text = run(name, folder, capsys)
    log = LOGS[name]
    assert status == {-6: 134}.get(log["exit_status"], log["exit_status"])
    for path in log.get("new_files", []):
        assert (folder / path).is_file(), path
    found, wanted = masked(text), masked((FILES / log["stderr"]).read_text())
    if name in OWN_WORDS:
        assert found[-1].startswith("FMMDD HH:MM:SS.UUUUUU  PID ")
        return
    if name == "small_train_clip":  # how often gradients are clipped depends on the weights
        found, wanted = ([x for x in lines if "Gradient clipping" not in x] for lines in (found, wanted))
    assert found == wanted
