"""freshpot: Caffe and Caffe2 programs, nets and models, run unchanged on today's Python.

Most programs import what they always imported: ``caffe``, ``caffe2.python``. Beside those there are

- ``freshpot.errors``: every error, in one tree;
- ``freshpot.torch``: nets as `torch.nn.Module` (``module``), modules as nets (``capture``);
- ``freshpot.paddle``: PaddlePaddle 2.0 programs (``import freshpot.paddle as paddle``);
- ``freshpot.convert``: nets from and to ONNX and between the doors;
- ``freshpot.data``, ``freshpot.formats``: databases and files of the old frameworks;
- ``freshpot.viz``: pictures of nets and of training.

On the command line: ``freshpot --help``, ``caffe --help``.
"""

from typing import Any

__version__: str


def __getattr__(name: str) -> Any:
    """The version, looked up when it is asked for: that takes longer than the import."""
    if name == "__version__":
        from importlib import metadata

        try:
            return metadata.version("freshpot")
        except metadata.PackageNotFoundError:  # run from its folder, without being installed
            return "unknown"
    raise AttributeError(f"module 'freshpot' has no attribute '{name}'")
