"""``caffe classify``: class probabilities of images, to an .npy file."""

from __future__ import annotations

import glob
import io
import os
import time
from typing import Any

import numpy as np

import caffe
from caffe._cli import _pictures
from caffe._cli.flags import Flag, UsageError
from freshpot.errors import DataError
from freshpot.formats.atomic import write_bytes

FLAGS = (
    *_pictures.FLAGS,
    Flag("center_only", False, "classify the centre only, instead of averaging ten crops"),
    Flag("images_dim", "256,256", "height,width to which images are resized"),
    Flag("ext", "jpg", "ending of the image files, where the input is a folder"),
)
USAGE = "usage: caffe classify -model_def NET -pretrained_model WEIGHTS [FLAGS] INPUT OUTPUT.npy"


def run(flags: dict[str, Any], words: list[str]) -> int:
    """Classify an image, the images of a folder, or an .npy file of images; 0 when done."""
    if len(words) != 3:
        raise UsageError(USAGE)
    options = _pictures.net_options(flags, USAGE)
    dims = _pictures.numbers(flags["images_dim"], "images_dim")
    classifier = caffe.Classifier(flags["model_def"], flags["pretrained_model"], image_dims=dims, **options)
    inputs = _read_inputs(os.path.expanduser(words[1]), flags["ext"])
    print(f"Classifying {len(inputs)} inputs.")
    start = time.time()
    predictions = classifier.predict(inputs, not flags["center_only"])
    print(f"Done in {time.time() - start:.2f} s.")
    print(f"Saving results into {words[2]}")
    buffer = io.BytesIO()
    np.save(buffer, predictions)
    write_bytes(words[2], buffer.getvalue())
    return 0


def _read_inputs(path: str, ending: str) -> Any:
    print(f"Loading {'folder' if os.path.isdir(path) else 'file'}: {path}")
    if path.endswith("npy"):
        return _pictures.read_array(path)
    if not os.path.isdir(path):
        return [caffe.io.load_image(path)]
    found = sorted(glob.glob(os.path.join(glob.escape(path), f"*.{ending}")))
    if not found:
        raise DataError(f"{path}: no files that end in .{ending}; -ext says which ending to look for")
    return [caffe.io.load_image(name) for name in found]
