"""How the engine was built, as programs ask for it.

Source: caffe2/python/build.py.
"""

from __future__ import annotations

from caffe2.python._import_c_extension import define_caffe2_no_operator_schema, get_build_options

__all__ = ["CAFFE2_NO_OPERATOR_SCHEMA", "build_options"]

CAFFE2_NO_OPERATOR_SCHEMA: bool = define_caffe2_no_operator_schema
build_options: dict[str, str] = get_build_options()
