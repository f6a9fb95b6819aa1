"""Images and arrays on their way into nets and out of messages.

Owned here: `Transformer`, `load_image`, `resize_image`, `oversample`, and BlobProto and Datum from and to
arrays. Who calls it: users, `Classifier`, `Detector`.

Source: BVLC/caffe python/caffe/io.py (behaviour); resizing is that of scikit-image 0.19, which needs not be there.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from caffe.proto import caffe_pb2
from freshpot.data import images as _images
from freshpot.data.pictures import read_picture as _read_picture
from freshpot.data.resample import resize as _resize
from freshpot.formats.protobuf import parse_message as _parse_message

Array = np.ndarray

_LEGACY_SHAPE = ("num", "channels", "height", "width")


# ---- messages ----------------------------------------------------------------------------------------
def blobproto_to_array(blob: Any, return_diff: bool = False) -> Array:
    """The data, or the diff, of a BlobProto as float64, in its shape (the four old fields, if one is set).

    Raises:
        ValueError: shape and number of elements disagree.
    """
    single, double = (blob.diff, blob.double_diff) if return_diff else (blob.data, blob.double_data)
    data = np.array(single if len(single) or not len(double) else double, np.float64)
    if any(blob.HasField(name) for name in _LEGACY_SHAPE):
        return data.reshape([getattr(blob, name) for name in _LEGACY_SHAPE])
    return data.reshape(tuple(blob.shape.dim))


def array_to_blobproto(arr: Array, diff: Array | None = None) -> Any:
    """A BlobProto of an array, and of another of the same shape as its diff."""
    blob = caffe_pb2.BlobProto()
    blob.shape.dim.extend(arr.shape)
    blob.data.extend(arr.astype(float).ravel().tolist())
    if diff is not None:
        blob.diff.extend(diff.astype(float).ravel().tolist())
    return blob


def arraylist_to_blobprotovector_str(arraylist: Iterable[Array]) -> bytes:
    """Arrays as one serialised BlobProtoVector."""
    vector = caffe_pb2.BlobProtoVector()
    vector.blobs.extend([array_to_blobproto(arr) for arr in arraylist])
    return vector.SerializeToString()


def blobprotovector_str_to_arraylist(str: bytes) -> list[Array]:
    """The arrays of a serialised BlobProtoVector.

    Raises:
        FormatError: the bytes are none.
    """
    vector = _parse_message(caffe_pb2.BlobProtoVector, str)
    return [blobproto_to_array(blob) for blob in vector.blobs]


def array_to_datum(arr: Array, label: int | None = None) -> Any:
    """A Datum of an image (C, H, W): uint8 goes to ``data``, anything else to ``float_data``.

    Raises:
        ValueError: not three axes.
    """
    if arr.ndim != 3:
        raise ValueError("Incorrect array shape.")
    datum = caffe_pb2.Datum(channels=arr.shape[0], height=arr.shape[1], width=arr.shape[2])
    if arr.dtype == np.uint8:
        datum.data = arr.tobytes()
    else:
        datum.float_data.extend(arr.astype(float).ravel().tolist())
    if label is not None:
        datum.label = label
    return datum


def datum_to_array(datum: Any) -> Array:
    """The image of a Datum (C, H, W): uint8, or float64 from ``float_data``. Compressed ones are decoded.

    Raises:
        ValueError: shape and number of elements disagree, or a compressed image is broken.
    """
    if datum.encoded:
        return _images.decode_image(datum.data, None)
    data = np.frombuffer(datum.data, np.uint8).copy() if datum.data else np.array(datum.float_data, float)
    return data.reshape(datum.channels, datum.height, datum.width)


# ---- into a net --------------------------------------------------------------------------------------
class Transformer:
    """Brings images (H', W', K) to what an input of a net wants, (K, H, W) float32, and back.

    In this order: resize, transpose, swap channels, times ``raw_scale``, minus mean, times ``input_scale``;
    each but the first only if it was set.

    Args:
        inputs: input name -> shape (N, K, H, W).

    Differs from what one expects, as the original does: where nothing before it makes a copy, scaling
    changes the image given, if that is float32.
    """

    def __init__(self, inputs: Mapping[str, Sequence[int]]) -> None:
        self.inputs = inputs
        self.transpose: dict[str, Sequence[int]] = {}
        self.channel_swap: dict[str, Sequence[int]] = {}
        self.raw_scale: dict[str, float] = {}
        self.mean: dict[str, Array] = {}
        self.input_scale: dict[str, float] = {}

    def _shape(self, in_: str) -> tuple[int, ...]:
        if in_ not in self.inputs:
            raise Exception(f"{in_} is not one of the net inputs: {self.inputs}")
        return tuple(self.inputs[in_])

    def preprocess(self, in_: str, data: Array) -> Array:
        """An image as input ``in_`` wants it.

        Raises:
            Exception: there is no such input, as in the original.
        """
        size = self._shape(in_)[2:]
        made = data.astype(np.float32, copy=False)
        if made.shape[:2] != size:
            made = resize_image(made, size)
        if in_ in self.transpose:
            made = made.transpose(self.transpose[in_])
        if in_ in self.channel_swap:
            made = made[list(self.channel_swap[in_]), :, :]
        if in_ in self.raw_scale:
            made *= self.raw_scale[in_]
        if in_ in self.mean:
            made -= self.mean[in_]
        if in_ in self.input_scale:
            made *= self.input_scale[in_]
        return made

    def deprocess(self, in_: str, data: Array) -> Array:
        """The image (H, W, K) that an array is the input ``in_`` of; axes of size 1 are dropped first.

        Raises:
            Exception: there is no such input, as in the original.
        """
        self._shape(in_)
        made = data.copy().squeeze()
        if in_ in self.input_scale:
            made /= self.input_scale[in_]
        if in_ in self.mean:
            made += self.mean[in_]
        if in_ in self.raw_scale:
            made /= self.raw_scale[in_]
        if in_ in self.channel_swap:
            made = made[np.argsort(self.channel_swap[in_]), :, :]
        if in_ in self.transpose:
            made = made.transpose(np.argsort(self.transpose[in_]))
        return made

    def set_transpose(self, in_: str, order: Sequence[int]) -> None:
        """Set the order of axes; (2, 0, 1) takes (H, W, K) to (K, H, W)."""
        if len(order) != len(self._shape(in_)) - 1:
            raise Exception("Transpose order needs to have the same number of dimensions as the input.")
        self.transpose[in_] = order

    def set_channel_swap(self, in_: str, order: Sequence[int]) -> None:
        """Set the order of channels (axis 0 after the transpose); (2, 1, 0) takes RGB to BGR."""
        if len(order) != self._shape(in_)[1]:
            raise Exception("Channel swap needs to have the same number of dimensions as the input channels.")
        self.channel_swap[in_] = order

    def set_raw_scale(self, in_: str, scale: float) -> None:
        """Set the factor before the mean; 255 for models that were trained on pixels of 0 to 255."""
        self._shape(in_)
        self.raw_scale[in_] = scale

    def set_mean(self, in_: str, mean: Array) -> None:
        """Set the mean: (K,) for channels, or an image (K, H, W), which is resized if need be.

        Raises:
            ValueError: it fits neither.
        """
        shape = self._shape(in_)
        if mean.ndim == 1:
            if len(mean) != shape[1]:
                raise ValueError("Mean channels incompatible with input.")
            mean = mean[:, np.newaxis, np.newaxis]
        elif mean.ndim not in (2, 3):
            raise ValueError("Mean shape invalid")
        elif (*(1,) * (3 - mean.ndim), *mean.shape) != shape[1:]:
            planes = mean.reshape(-1, *mean.shape[-2:])
            mean = resize_image(planes.transpose(1, 2, 0), shape[2:]).transpose(2, 0, 1)
        self.mean[in_] = mean

    def set_input_scale(self, in_: str, scale: float) -> None:
        """Set the factor after the mean."""
        self._shape(in_)
        self.input_scale[in_] = scale


# ---- images ------------------------------------------------------------------------------------------
def load_image(filename: Any, color: bool = True) -> Array:
    """An image file as float32 from 0 to 1: (H, W, 3) RGB, or (H, W, 1) if ``color`` is False.

    Raises:
        OSError: the file cannot be read.
        FormatError: it is no image.
    """
    return _read_picture(filename, color)


def resize_image(im: Array, new_dims: Sequence[int], interp_order: int = 1) -> Array:
    """An image (H, W, K) in another size (height, width), float32.

    With 1 or 3 channels pixels are squares, beyond the border is the image's least value, and shrinking
    blurs first; with other numbers of channels the corner pixels stay in the corners and nothing is blurred.

    Args:
        interp_order: of the spline, 0 to 5; 1 is linear.

    Raises:
        ShapeError: not an image, or a size below 1.
        ArgumentError: an unknown order.
    """
    if im.shape[-1] not in (1, 3):
        return _resize(im, new_dims, interp_order, corners=True).astype(np.float32)
    low, high = im.min(), im.max()
    if not high > low:
        return np.full((new_dims[0], new_dims[1], im.shape[-1]), low, np.float32)
    even = _resize((im - low) / (high - low), new_dims, interp_order).clip(0, 1)
    return (even * (high - low) + low).astype(np.float32)


def oversample(images: Sequence[Array] | Array, crop_dims: Sequence[int] | Array) -> Array:
    """Ten crops of each image: corners and centre, then their mirror images.

    Shapes: N images (H, W, K) of one size -> (10 * N, h, w, K) float32.
    """
    height, width, channels = images[0].shape
    h, w = (int(n) for n in crop_dims)
    places = [(y, x) for y in (0, height - h) for x in (0, width - w)]
    places.append((int(height / 2.0 - h / 2.0), int(width / 2.0 - w / 2.0)))
    crops = np.empty((len(images), 2, len(places), h, w, channels), np.float32)
    for image, (plain, mirrored) in zip(images, crops, strict=True):
        for k, (y, x) in enumerate(places):
            plain[k] = image[y : y + h, x : x + w]
        mirrored[...] = plain[:, :, ::-1]
    return crops.reshape(-1, h, w, channels)
