"""Messages and enums of caffe.proto under the names a generated module gives them."""

from typing import TYPE_CHECKING, Any

from freshpot.formats import protobuf

globals().update(vars(protobuf.load("caffe")))

if TYPE_CHECKING:

    def __getattr__(name: str) -> Any: ...
