"""Modules that are left out: importing them says what to use instead."""

from __future__ import annotations

import importlib
import subprocess
import sys

import pytest

import caffe2.python
from caffe2.python import _not_supported

MODULES = _not_supported.modules()


@pytest.mark.parametrize("name", MODULES)
def test_the_error_says_what_to_use(name: str) -> None:
    with pytest.raises(ImportError, match=r"not supported by freshpot yet\. Instead: .{6}"):
        importlib.import_module(f"caffe2.python.{name}")


def test_every_form_of_import() -> None:
    with pytest.raises(ImportError, match="freshpot runs on PyTorch's own kernels"):
        from caffe2.python import trt  # noqa: F401
    with pytest.raises(ImportError, match="freshpot runs on PyTorch's own kernels"):
        import caffe2.python.trt.transform  # noqa: F401
    with pytest.raises(ImportError, match="freshpot runs on PyTorch's own kernels"):
        from caffe2.python.trt.transform import transform_caffe2_net  # noqa: F401


def test_other_names_are_left_alone() -> None:
    with pytest.raises(ImportError, match="cannot import name 'nowhere'"):
        from caffe2.python import nowhere  # noqa: F401
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("caffe2.python.nowhere")
    assert not hasattr(caffe2.python, "trt")


def test_the_hook_is_installed_once_and_imports_nothing() -> None:
    code = (
        "import sys; import caffe2.python as p; from caffe2.python import _not_supported as n;"
        "n.install(); assert sys.meta_path.count(n._NotSupported) == 1;"
        "assert not {'torch', 'numpy'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
