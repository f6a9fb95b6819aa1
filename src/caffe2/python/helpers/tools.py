"""Input of images and videos."""

from __future__ import annotations

from typing import Any

from freshpot.errors import ArgumentError


def image_input(
    model: Any,
    blob_in: Any,
    blob_out: list[str],
    order: str = "NCHW",
    use_gpu_transform: bool = False,
    **kwargs: Any,
) -> Any:
    """Decode, crop and normalise images from a database; ``is_test`` is required."""
    if "is_test" not in kwargs:
        raise ArgumentError("brew.image_input: argument 'is_test' is required (0 to train, 1 to test).")
    if order == "NCHW" and not use_gpu_transform:
        # the operator makes NHWC on the CPU; its GPU transform would have transposed by itself
        images, *rest = model.net.ImageInput(blob_in, [blob_out[0] + "_nhwc", *blob_out[1:]], **kwargs)
        return (model.net.NHWC2NCHW(images, blob_out[0]), *rest)
    if order == "NCHW":
        kwargs["use_gpu_transform"] = 1
    return model.net.ImageInput(blob_in, blob_out, **kwargs)


def video_input(model: Any, blob_in: Any, blob_out: Any, **kwargs: Any) -> Any:
    """Decode clips from a database; how many outputs depends on the arguments."""
    return model.net.VideoInput(blob_in, blob_out, **kwargs)
