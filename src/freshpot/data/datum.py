"""Records that are Caffe's Datum messages, one image and its label, to and from arrays.

Called by Caffe's Data layer, by Caffe2's image operators, and by whoever writes such a database.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from freshpot.data.records import RecordDecoder, Slot
from freshpot.errors import FormatError, NotSupportedError
from freshpot.formats import protobuf, wire

__all__ = ["array_to_datum", "datum_decoder", "datum_to_array", "file_to_datum", "is_encoded", "read_datum"]

_DATUM = protobuf.load("caffe2_legacy").CaffeDatum  # caffe.Datum has the same fields
_NUMBERS = {field.number: name for name, field in _DATUM.DESCRIPTOR.fields_by_name.items()}


#: (compressed image, where it stands) -> (C, H, W)
ImageDecoder: TypeAlias = Callable[[bytes, "str | None"], NDArray[Any]]


def datum_decoder(decode_image: ImageDecoder | None = None) -> RecordDecoder:
    """A decoder of Datum records into [images, labels]; keep it for all batches of one database.

    Shapes: images (N, C, H, W), uint8, or float32 where the records hold float_data; labels (N,) int32.
    ``decode_image`` turns compressed images into arrays; without it they are refused.
    """
    parse = functools.partial(read_datum, decode_image=decode_image)
    return RecordDecoder(parse, _find_slots)


def read_datum(
    value: bytes, where: str | None = None, decode_image: ImageDecoder | None = None
) -> list[NDArray[Any]]:
    """[image, label] of one serialised Datum: (C, H, W) as `datum_to_array` gives it, and () int32.

    Raises:
        FormatError: the bytes are no Datum.
        As :func:`datum_to_array`.
    """
    datum = protobuf.parse_message(_DATUM, value, where=where)
    return [datum_to_array(datum, where=where, decode_image=decode_image), np.array(datum.label, np.int32)]


def is_encoded(value: bytes, where: str | None = None) -> bool:
    """Whether a serialised Datum holds a compressed image. Raises FormatError if it is none."""
    return bool(protobuf.parse_message(_DATUM, value, where=where).encoded)


def datum_to_array(
    datum: Any, *, where: str | None = None, decode_image: ImageDecoder | None = None
) -> NDArray[Any]:
    """The image of a Datum (of either package): (C, H, W) uint8, or float32 from float_data.

    Raises:
        FormatError: data and shape disagree.
        NotSupportedError: the image is compressed, and there is no ``decode_image``.
    """
    if datum.encoded:
        if decode_image is None:
            raise NotSupportedError(
                f"{where or 'datum'}: compressed images (encoded: true) are not decoded here"
            )
        return decode_image(datum.data, where)
    shape = (datum.channels, datum.height, datum.width)
    if datum.data:
        elements: NDArray[Any] = np.frombuffer(datum.data, np.uint8)
    else:
        elements = np.array(datum.float_data, np.float32)
    if min(shape) < 0 or shape[0] * shape[1] * shape[2] != elements.size:
        raise FormatError(f"an image of shape {shape} with {elements.size} elements", where=where)
    return elements.reshape(shape)


def array_to_datum(image: NDArray[Any], label: int | None = None, *, encoded: bool | None = None) -> bytes:
    """The serialised Datum of an image (C, H, W): uint8 goes to data, anything else to float_data.

    ``encoded`` is stated unless it is None; some of the original's tools do so.
    """
    if image.ndim != 3:
        raise FormatError(f"a Datum holds an image (channels, height, width), got shape {image.shape}")
    channels, height, width = image.shape
    datum = _DATUM(channels=channels, height=height, width=width)
    if image.dtype == np.uint8:
        datum.data = image.tobytes()
    else:
        datum.float_data.extend(image.ravel().tolist())
    if label is not None:
        datum.label = label
    if encoded is not None:
        datum.encoded = encoded
    return bytes(datum.SerializeToString())


def file_to_datum(data: bytes, label: int) -> bytes:
    """The serialised Datum of a compressed image."""
    return bytes(_DATUM(data=data, label=label, encoded=True).SerializeToString())


def _find_slots(value: bytes) -> list[Slot] | None:
    fields = list(wire.scan_fields(value))
    at = {_NUMBERS.get(field.number, ""): field for field in fields}
    if len(at) != len(fields) or at.keys() - {"encoded"} != {"channels", "height", "width", "data", "label"}:
        return None
    datum = protobuf.parse_message(_DATUM, value)
    if not datum.data or datum.encoded:
        return None
    shape = (datum.channels, datum.height, datum.width)
    image, label = at["data"], at["label"]
    return [
        Slot(image.begin, image.end, np.dtype(np.uint8), shape, varint=False),
        Slot(label.begin, label.end, np.dtype(np.int32), (), varint=True),
    ]
