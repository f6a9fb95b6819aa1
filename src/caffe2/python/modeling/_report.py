"""What the modifiers that watch blobs share.

Owned here: finding the blobs, printing and recording what was made of them. Who calls it: the modules
beside this one.
"""

from __future__ import annotations

import abc
from collections.abc import Iterable
from typing import Any

from caffe2.python import core, schema
from caffe2.python._errors import require
from caffe2.python.modeling.net_modifier import NetModifier


class BlobReport(NetModifier):
    """Adds operators that make something of each of some blobs, and print it.

    Args:
        blobs: names of the blobs.
        logging_frequency: print in every so many runs; below 1 never.
        field_name_suffix: ends the name of the field in the net's output record.
    """

    def __init__(self, blobs: Iterable[Any], logging_frequency: int, field_name_suffix: str) -> None:
        self._blobs = blobs
        self._logging_frequency = logging_frequency
        self._field_name_suffix = field_name_suffix

    def field_name_suffix(self) -> str:
        """What ends the names of the fields in the output record."""
        return self._field_name_suffix

    @abc.abstractmethod
    def _make(self, net: core.Net, blob: core.BlobReference, blob_to_device: dict[Any, Any]) -> Any:
        """Add the operators for a blob; returns what they make."""

    @abc.abstractmethod
    def _type(self) -> Any:
        """Element type, or element type and shape, of what is made."""

    def modify_net(
        self,
        net: core.Net,
        init_net: Any = None,
        grad_map: Any = None,
        blob_to_device: dict[Any, Any] | None = None,
        modify_output_record: bool = False,
    ) -> None:
        """Add the operators.

        Args:
            blob_to_device: blob -> device; the CPU where it is not said.
            modify_output_record: also add what is made to the net's output record.

        Raises:
            MisuseError: the net does not define one of the blobs.
        """
        for name in self._blobs:
            blob = core.BlobReference(name)
            require(net.BlobIsDefined(blob), f"net '{net.Name()}' does not define blob '{blob}'.")
            made = self._make(net, blob, blob_to_device or {})
            if modify_output_record:
                self._record(net, f"{blob}{self._field_name_suffix}", schema.Scalar(self._type(), made))

    def _print(self, net: core.Net, blob: Any) -> None:
        if self._logging_frequency >= 1:
            net.Print(blob, [], every_n=self._logging_frequency)

    def _record(self, net: core.Net, field: str, scalar: schema.Scalar) -> None:
        if net.output_record() is None:
            net.set_output_record(schema.Struct((field, scalar)))
        else:
            net.AppendOutputRecordField(field, scalar)
