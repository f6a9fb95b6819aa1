"""Messages and enums of caffe2.proto under the names a generated module gives them."""

from typing import TYPE_CHECKING, Any

from freshpot.formats import protobuf

globals().update(vars(protobuf.load("caffe2")))

# Device names as programs of 2017 and 2018 spell them.
globals().update(
    (name, vars(protobuf.load("caffe2"))[f"PROTO_{name}"])
    for name in ("CPU", "CUDA", "MKLDNN", "OPENGL", "OPENCL", "IDEEP", "HIP")
)

if TYPE_CHECKING:

    def __getattr__(name: str) -> Any: ...
