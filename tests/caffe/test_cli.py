"""The `caffe` command: flags, help, tools and what they write, signals, curves, refusals."""

from __future__ import annotations

import csv
import io
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from google.protobuf import text_format

from caffe._cli import main
from caffe._cli.events import _masked
from caffe._cli.flags import Flag, UsageError, parse
from caffe._cli.logs import parse_log
from caffe._net.layer import Layer
from caffe.proto import caffe_pb2
from freshpot.data.datum import datum_to_array
from freshpot.data.reader import open_db
from freshpot.formats import caffemodel

NET = """
name: "tiny"
layer { name: "data" type: "DummyData" top: "x" top: "t" dummy_data_param {
  shape { dim: 4 dim: 3 } shape { dim: 4 dim: 2 } data_filler { type: "gaussian" } } }
layer { name: "ip" type: "InnerProduct" bottom: "x" top: "y"
  inner_product_param { num_output: 2 weight_filler { type: "xavier" } } }
layer { name: "loss" type: "EuclideanLoss" bottom: "y" bottom: "t" top: "loss" }
"""
SOLVER = (
    'net: "net.prototxt" test_iter: 2 test_interval: 5 base_lr: 0.1 lr_policy: "fixed" display: 5 '
    'snapshot_prefix: "s" solver_mode: CPU max_iter: '
)


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    """A working folder with a small net and solver."""
    monkeypatch.chdir(tmp_path)
    Path("net.prototxt").write_text(NET)
    Path("solver.prototxt").write_text(SOLVER + "10")
    return tmp_path


# ---- flags ----------------------------------------------------------------------------------------

FLAGS = (
    Flag("gpu", "", ""),
    Flag("iterations", 50, ""),
    Flag("gray", False, ""),
    Flag("resize_width", 0, ""),
)


@pytest.mark.parametrize(
    ("words", "values", "rest"),
    [
        ("train -gpu 0", {"gpu": "0"}, ["train"]),
        ("--gpu=0,1 train", {"gpu": "0,1"}, ["train"]),
        ("-iterations=-3", {"iterations": -3}, []),
        ("--iterations -3", {"iterations": -3}, []),
        ("-gray a", {"gray": True}, ["a"]),
        ("-gray=false a", {"gray": False}, ["a"]),
        ("-gray -nogray", {"gray": False}, []),
        ("--resize-width 4", {"resize_width": 4}, []),
        ("-gray -- -x", {"gray": True}, ["-x"]),
        ("-gpu=", {"gpu": ""}, []),
        ("a - b", {}, ["a", "-", "b"]),
    ],
)
def test_flags(words, values, rest):
    found, words_left = parse(words.split(), FLAGS)
    assert found == {"gpu": "", "iterations": 50, "gray": False, "resize_width": 0} | values
    assert words_left == rest


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("-itrations 3", "unknown command line flag 'itrations'. Did you mean iterations?"),
        ("-nogpu", "unknown command line flag 'nogpu'"),
        ("-iterations", "flag 'iterations' is missing its value"),
        ("-iterations=x", "illegal value 'x' for int32 flag 'iterations'"),
        ("-gray=maybe", "illegal value 'maybe' for bool flag 'gray'"),
    ],
)
def test_flags_refused(words, message):
    with pytest.raises(UsageError, match=message.replace("?", r"\?")):
        parse(words.split(), FLAGS)


# ---- help and refusals ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "status", "out"),
    [
        ([], 0, "usage: caffe <command> <args>"),
        (["-help"], 1, "-sigint_effect"),
        (["--version"], 0, "caffe version 1.0.0\n"),
        (["compute_image_mean", "-help"], 1, "usage: caffe compute_image_mean"),
        (["upgrade_net_proto_text", "--help"], 1, "usage: caffe upgrade_net_proto_text"),
        (["train", "extra"], 1, "usage: caffe"),
    ],
)
def test_help(words, status, out, capsys):
    assert main(words) == status
    assert out in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "status", "err"),
    [
        ("nope", 134, "Unknown action: nope"),
        ("train", 134, "Need a solver definition to train."),
        ("train -solver none.prototxt", 134, "none.prototxt: the solver file cannot be read"),
        ("train -solver net.prototxt", 134, "is a net, not a solver"),
        ("train -solver solver.prototxt -snapshot a -weights b", 134, "but not both"),
        ("train -solver solver.prototxt -sigint_effect jump", 134, 'Invalid signal effect "jump"'),
        ("train -solver solver.prototxt -weights none", 134, "none: there are no such weights"),
        ("train -solver solver.prototxt -snapshot none", 134, "none: the solver state cannot be read"),
        ("train -solver solver.prototxt -gpu x", 134, "-gpu takes numbers"),
        ("train -solver solver.prototxt -csv no/folder/x", 134, "no/folder/x: cannot be written"),
        ("train -nosolver", 1, "unknown command line flag 'nosolver'"),
        ("test -model net.prototxt", 134, "Need model weights to score."),
        ("test -weights x", 134, "Need a model definition to score."),
        ("test -model none -weights x", 134, "none: the net cannot be read"),
        ("test -model net.prototxt -weights none", 134, "none: there are no such weights"),
        ("time", 134, "Need a model definition to time."),
        ("time -model net.prototxt -phase TRIAL", 134, 'phase must be "TRAIN" or "TEST"'),
        ("time -model net.prototxt -iterations 0", 134, "-iterations must be at least 1"),
        ("device_query -gpu 99", 134, "Cannot use GPU 99"),
        ("upgrade_net_proto_text a", 1, "usage: caffe upgrade_net_proto_text"),
        ("upgrade_net_proto_text none x", 2, "Failed to parse input file as NetParameter: none"),
        ("upgrade_solver_proto_text net.prototxt no/x", 134, "no"),
        ("compute_image_mean", 1, "usage: caffe compute_image_mean"),
        ("compute_image_mean none", 134, "none"),
        ("compute_image_mean -backend nodb none", 134, "unknown database type"),
        ("convert_mnist_data a b", 1, "usage: caffe convert_mnist_data"),
        ("convert_mnist_data none none x", 134, "none: cannot be read"),
        ("extract_features a b c d x lmdb", 1, "usage: caffe extract_features"),
        ("extract_features w none y db 1 lmdb", 134, "none: the net cannot be read"),
        ("draw_net net.prototxt", 1, "usage: caffe draw_net"),
        ("draw_net -phase BOTH net.prototxt x.png", 1, "unknown phase 'BOTH'"),
        ("draw_net none x.png", 134, "none: the net cannot be read"),
        ("parse_log a", 1, "usage: caffe parse_log"),
        ("parse_log none .", 134, "none"),
    ],
)
def test_refused(words, status, err, capsys):
    assert main(words.split()) == status
    text = capsys.readouterr().err
    assert err in text
    assert "Traceback" not in text


# ---- training -------------------------------------------------------------------------------------


def test_curves_and_log_file(capsys):
    words = "-csv c.csv -plot p.png -tensorboard tb -log_dir . -minloglevel 0"
    assert main(["train", "-solver", "solver.prototxt", *words.split()]) == 0
    printed = capsys.readouterr().err
    rows = list(csv.DictReader(Path("c.csv").read_text().splitlines()))
    assert list(rows[0]) == ["iteration", "test loss", "train loss", "learning rate"]
    assert [int(row["iteration"]) for row in rows] == list(range(11))
    assert [bool(row["test loss"]) for row in rows] == [i in (0, 5, 10) for i in range(11)]
    assert Path("p.png").read_bytes().startswith(b"\x89PNG")
    (log,) = Path(".").glob("caffe.*.log.INFO.*")
    assert log.read_text().endswith(printed)
    (events,) = Path("tb").iterdir()
    data = events.read_bytes()
    size = int.from_bytes(data[:8], "little")
    assert data[8:12] == _masked(data[:8])
    assert data[12 + size : 16 + size] == _masked(data[12 : 12 + size])
    assert data.count(b"learning_rate") == 10
    Path("log").write_text(printed)
    assert main(["parse_log", "-verbose", "log", "."]) == 0
    test_rows = list(csv.DictReader(Path("log.test").read_text().splitlines()))
    assert [float(row["NumIters"]) for row in test_rows] == [0, 5, 10]
    assert {row["LearningRate"] for row in test_rows} == {"0.1"}


def test_checksum_is_crc32c():
    # the check value of CRC-32C, masked as TFRecord does
    crc = 0xE3069283
    masked = ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF
    assert _masked(b"123456789") == masked.to_bytes(4, "little")


def test_level_hides_information(capsys):
    assert main(["train", "-solver", "solver.prototxt", "-minloglevel=2"]) == 0
    assert capsys.readouterr().err == ""


def test_test_and_time(capsys):
    assert main(["train", "-solver=solver.prototxt"]) == 0
    capsys.readouterr()
    assert (
        main(["test", "-model", "net.prototxt", "-weights", "s_iter_10.caffemodel", "-iterations", "3"]) == 0
    )
    lines = capsys.readouterr().err.splitlines()
    assert sum("Batch " in line for line in lines) == 3
    assert "loss = " in lines[-1]
    assert "(* 1 = " in lines[-1]
    assert main(["time", "-model", "net.prototxt", "-iterations", "2"]) == 0
    assert sum("forward-backward time" in x for x in capsys.readouterr().err.splitlines()) == 2


def test_time_runs_layers_backwards_that_no_loss_needs(monkeypatch):
    Path("deploy.prototxt").write_text(
        'layer { name: "in" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 } } }'
        'layer { name: "ip" type: "InnerProduct" bottom: "x" top: "y" inner_product_param { num_output: 2 } }'
    )
    ran = []
    backward = Layer.backward
    monkeypatch.setattr(
        Layer, "backward", lambda self, down: (ran.append((self.name, down)), backward(self, down))
    )
    assert main(["time", "-model", "deploy.prototxt", "-iterations", "1"]) == 0
    assert ran == [("ip", [False]), ("in", [])]


@pytest.mark.parametrize(
    ("number", "flag", "files", "goes_on"),
    [
        (signal.SIGINT, "", True, False),
        (signal.SIGINT, "-sigint_effect=snapshot", True, True),
        (signal.SIGINT, "-sigint_effect=none", False, True),
        (signal.SIGHUP, "", True, True),
        (signal.SIGHUP, "-sighup_effect=stop", True, False),
    ],
)
def test_signals(number, flag, files, goes_on, place):
    Path("solver.prototxt").write_text(SOLVER.replace("display: 5", "display: 100") + "100000000")
    command = [sys.executable, "-m", "caffe._cli", "train", "-solver", "solver.prototxt", *flag.split()]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        for line in process.stderr:
            if "Iteration 100 " in line:
                break
        process.send_signal(number)
        if goes_on:
            deadline = time.monotonic() + 300
            wanted = "Snapshotting solver state" if files else "Iteration "
            seen = next(line for line in process.stderr if wanted in line or time.monotonic() > deadline)
            assert wanted in seen
            assert process.poll() is None
        else:
            rest = process.stderr.read()
            assert process.wait() == 0
            assert "Optimization stopped early." in rest
            assert rest.rstrip().endswith("Optimization Done.")
    finally:
        process.kill()
        process.stderr.close()
        process.wait()
    assert bool(list(place.glob("s_iter_*.caffemodel"))) == files


# ---- tools ----------------------------------------------------------------------------------------


@pytest.fixture
def files(shared):
    """The folder of reference files, and the small database in the working folder."""
    found = shared / "reference/caffe/files"
    shutil.copytree(found / "mnist_200_lmdb", "mnist_200_lmdb")
    return found


@pytest.mark.parametrize("name", ["v0", "v1", "input_fields", "batchnorm_params"])
def test_upgraded_nets(name, files):
    assert main(["upgrade_net_proto_text", str(files / f"upgrade/{name}.prototxt"), "new.prototxt"]) == 0
    found, wanted = (
        text_format.Parse(path.read_text(), caffe_pb2.NetParameter())
        for path in (Path("new.prototxt"), files / f"upgrade/{name}.upgraded.prototxt")
    )
    assert found == wanted


@pytest.mark.parametrize("name", ["sgd", "nesterov", "adagrad", "rmsprop", "adadelta", "adam"])
def test_upgraded_solvers(name, files, capsys):
    source = str(files / f"upgrade/solver_{name}.prototxt")
    assert main(["upgrade_solver_proto_text", source, "new.prototxt"]) == 0
    found, wanted = (
        text_format.Parse(path.read_text(), caffe_pb2.SolverParameter())
        for path in (Path("new.prototxt"), files / f"upgrade/solver_{name}.upgraded.prototxt")
    )
    assert found == wanted
    assert main(["upgrade_solver_proto_text", "new.prototxt", "newer.prototxt"]) == 0
    assert "File already in latest proto format" in capsys.readouterr().err


def test_upgraded_weights(files):
    assert main(["upgrade_net_proto_binary", str(files / "upgrade/v1.caffemodel"), "new.caffemodel"]) == 0
    found = caffemodel.read_binary_net("new.caffemodel")
    wanted = caffemodel.read_binary_net(files / "upgrade/v1.upgraded.caffemodel")
    assert found == wanted


def test_mean_image(files):
    assert main(["compute_image_mean", "mnist_200_lmdb", "mean.binaryproto"]) == 0
    found = caffe_pb2.BlobProto.FromString(Path("mean.binaryproto").read_bytes())
    wanted = caffe_pb2.BlobProto.FromString((files / "mean_200.binaryproto").read_bytes())
    np.testing.assert_allclose(found.data, wanted.data, rtol=1e-6)
    assert (found.num, found.channels, found.height, found.width) == (1, 1, 28, 28)
    assert not found.HasField("shape")


def test_extracted_features(files):
    shutil.copy(files / "mlp.prototxt", ".")
    weights = str(files / "mlp_iter_10.caffemodel")
    assert main(["extract_features", weights, "mlp.prototxt", "ip1,ip2", "f1,f2", "2", "lmdb"]) == 0
    for path, width in (("f1", 16), ("f2", 10)):
        with open_db("lmdb", path) as database:
            records = database.cursor().take(1000)
        assert [key for key, _ in records] == [b"%010d" % i for i in range(len(records))]
        datum = caffe_pb2.Datum.FromString(records[0][1])
        assert datum_to_array(datum).shape == (width, 1, 1)
        assert not datum.HasField("label")
    assert main(["extract_features", weights, "mlp.prototxt", "ip9", "f3", "2", "lmdb"]) == 134
    assert main(["extract_features", weights, "mlp.prototxt", "ip1,ip2", "f3", "2", "lmdb"]) == 134


def test_drawing():
    assert main(["draw_net", "-rankdir", "TB", "net.prototxt", "net.raw"]) == 0
    assert "InnerProduct" in Path("net.raw").read_text()


def test_parsing_a_recorded_log(files):
    text = (files / "logs/caffe_train.txt").read_text()
    dated = text.replace("MMDD HH:MM:SS.UUUUUU  PID", "0102 03:04:05.000006  4711")
    tables = parse_log(dated.splitlines())
    assert [row["NumIters"] for row in tables["Train"]] == [0, 50, 100, 150]
    assert [row["NumIters"] for row in tables["Test"]] == [0, 100, 200]
    assert tables["Test"][0]["accuracy"] == 0.078
    assert tables["Test"][0]["LearningRate"] == tables["Test"][1]["LearningRate"]


def test_time_in_logs_runs_on_over_new_year():
    lines = [
        "I1231 23:59:59.500000  1 solver.cpp:239] Iteration 0 (1 iter/s, 1s/1 iters), loss = 2",
        "I1231 23:59:59.500000  1 solver.cpp:258]     Train net output #0: loss = 2 (* 1 = 2 loss)",
        "not a record",
        "I0101 00:00:00.500000  1 solver.cpp:239] Iteration 1 (1 iter/s, 1s/1 iters), loss = 1",
        "I0101 00:00:00.500000  1 solver.cpp:258]     Train net output #0: loss = 1 (* 1 = 1 loss)",
    ]
    assert parse_log(lines)["Train"][1]["Seconds"] == 1.0


def test_command_is_installed():
    done = subprocess.run(
        [sys.executable, "-m", "caffe._cli", "-version"], capture_output=True, text=True, env=dict(os.environ)
    )
    assert (done.returncode, done.stdout) == (0, "caffe version 1.0.0\n")


class Terminal(io.StringIO):
    """Standard error that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def test_progress_bar_on_a_terminal_only(monkeypatch):
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setattr(sys, "stderr", terminal := Terminal())
    assert main(["train", "-solver", "solver.prototxt"]) == 0
    shown = terminal.getvalue()
    assert "10/10" in shown
    assert "images/s" in shown
    records = [line for line in shown.replace("\r", "\n").splitlines() if "Iteration 5, lr = 0.1" in line]
    assert len(records) == 1
    monkeypatch.setattr(sys, "stderr", terminal := Terminal())
    assert main(["train", "-solver", "solver.prototxt", "-noprogress"]) == 0
    assert "images/s" not in terminal.getvalue()
