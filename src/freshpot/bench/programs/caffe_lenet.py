"""A solver's step on LeNet through ``caffe``: examples/mnist of the original, the batch in memory."""

import os
import tempfile

import numpy as np

_DATA = """layer {{ name: "mnist" type: "{0}" top: "data" top: "label"
  {1} }}
"""
_LAYER = """layer {{ name: "{0}" type: "{1}" bottom: "{2}" top: "{0}" param {{ lr_mult: 1 }} param {{ lr_mult: 2 }}
  {3} {{ num_output: {4} {5} weight_filler {{ type: "xavier" }} bias_filler {{ type: "constant" }} }} }}
"""
_POOL = """layer {{ name: "{0}" type: "Pooling" bottom: "{1}" top: "{0}"
  pooling_param {{ pool: MAX kernel_size: 2 stride: 2 }} }}
"""
_SOLVER = """train_net: "{}" base_lr: 0.01 momentum: 0.9 weight_decay: 0.0005 lr_policy: "inv" gamma: 0.0001
power: 0.75 max_iter: {} display: {} snapshot_after_train: false solver_mode: CPU
"""


def memory(batch):
    """The layer that a pycaffe program feeds."""
    return _DATA.format(
        "MemoryData", f"memory_data_param {{ batch_size: {batch} channels: 1 height: 28 width: 28 }}"
    )


def constant(batch):
    """A layer that makes a batch once, for the command, which nobody can feed."""
    return _DATA.format(
        "DummyData",
        f"dummy_data_param {{ shape {{ dim: {batch} dim: 1 dim: 28 dim: 28 }} shape {{ dim: {batch} }} "
        'data_filler { type: "constant" value: 0.5 } data_filler { type: "constant" value: 3 } }',
    )


def lmdb(batch, source):
    """The layer of the example: records of a database, scaled."""
    records = f'data_param {{ source: "{source}" backend: LMDB batch_size: {batch} }}'
    return _DATA.format("Data", "transform_param { scale: 0.00390625 } " + records)


def net_text(data, sizes=(20, 50, 500)):
    """The net as a prototxt, after its data layer."""
    conv, fc = "convolution_param", "inner_product_param"
    first, second, hidden = sizes
    return "".join(
        [
            'name: "LeNet"\n',
            data,
            _LAYER.format("conv1", "Convolution", "data", conv, first, "kernel_size: 5"),
            _POOL.format("pool1", "conv1"),
            _LAYER.format("conv2", "Convolution", "pool1", conv, second, "kernel_size: 5"),
            _POOL.format("pool2", "conv2"),
            _LAYER.format("ip1", "InnerProduct", "pool2", fc, hidden, ""),
            'layer { name: "relu1" type: "ReLU" bottom: "ip1" top: "ip1" }\n',
            _LAYER.format("ip2", "InnerProduct", "ip1", fc, 10, ""),
            'layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip2" bottom: "label" top: "loss" }\n',
        ]
    )


def write_solver(folder, text, iterations=1000000, display=0):
    """Write net and solver; the solver's path."""
    net, solver = os.path.join(folder, "net.prototxt"), os.path.join(folder, "solver.prototxt")
    with open(net, "w") as file:
        file.write(text)
    with open(solver, "w") as file:
        file.write(_SOLVER.format(net, iterations, display))
    return solver


def load():
    """Import the package."""
    import caffe  # noqa: F401


def version():
    """Of what provides Caffe."""
    import caffe

    return f"Caffe {caffe.__version__}"


def make(threads, batch=64, source=None, sizes=(20, 50, 500)):
    """``solver.step(1)`` on a batch in memory, or on the next records of an LMDB of Datum records."""
    import caffe

    data = memory(batch) if source is None else lmdb(batch, source)
    with tempfile.TemporaryDirectory() as folder:
        solver = caffe.SGDSolver(write_solver(folder, net_text(data, sizes)))
    if source is None:
        rng = np.random.RandomState(0)
        images = rng.rand(batch, 1, 28, 28).astype(np.float32)
        solver.net.set_input_arrays(images, rng.randint(0, 10, batch).astype(np.float32))
    return lambda: solver.step(1)
