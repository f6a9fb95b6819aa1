"""Trained Caffe models that were once to be had, or that a training would have made: which paths name one.

Whoever asks: :mod:`weights`, for a path that does not exist. A path that is no such model is most likely mistyped.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

__all__ = ["known", "nearest"]

#: names (without the ending) of files that people downloaded: Caffe's model zoo, and what papers' pages offered
_ZOO = re.compile(
    r"""bvlc_(reference_(caffenet|rcnn_ilsvrc13)|alexnet|googlenet)|caffe(net|_reference_imagenet_model|_alexnet_train.*)
    |(caffe_)?(reference_)?imagenet(_model)?|alexnet(_\w+)?|googlenet(_\w+)?|finetune_flickr_style|resnet[-_]?\d+\w*
    |(caffe_)?rcnn_imagenet_model|vgg[-_ ]?(ilsvrc|cnn|face|voc|coco|imagenet|fc|net)?[-_]?\w*|nin(_\w+)?
    |resnet[-_]?\d+[-_]model|squeezenet_v1\.[01]|mobilenet\w*|densenet[-_]?\w*|inception[-_]?\w*|xception\w*
    |fcn\w*|\w+-fcn\d+s\w*|(age|gender)_net|face_train_test_iter_\d+|hed_pretrained_bsds|hed_bsds|nyu?d\w*-fcn\w*
    |oxford102|placescnn|places\d+\w*|googlelet_places205\w*|hybridcnn|(pool5_)?\w*hybrid\w*|mtcnn\w*|det[123]
    |segnet\w*|bayesian_segnet\w*|zf(_faster_rcnn_final)?|zf_voc.*|vgg16_faster_rcnn_final|pspnet\d+\w*|pose_iter_\d+
    |open_nsfw|yahoo_open_nsfw|cifar10_(quick|full)_iter_\d+|lenet_iter_\d+|mnist_siamese_iter_\d+
    |caffenet_train(_quick)?_iter_\d+|\w*ssd\w*_iter_\d+|colorization_release_\w+|deepyeti|style|weights\.pretrained
    """,
    re.VERBOSE | re.IGNORECASE,
)
_ENDINGS = (".caffemodel.h5", ".caffemodel", ".solverstate", "_model")
_SNAPSHOT = re.compile(r"(?P<prefix>.+)_iter_\d+")
_PREFIX = re.compile(r"^\s*snapshot_prefix\s*:\s*[\"']([^\"']+)[\"']", re.MULTILINE)
_MOST_SOLVERS = 50
_LEAST_LIKE = 0.6


def known(path: str, text: str) -> str | None:
    """Why a model of this path could have been there: how it was to be had. None if nothing speaks of it.

    Args:
        path: as the program gives it; it does not exist.
        text: the program.
    """
    name = os.path.basename(path)
    stem = next((name[: -len(end)] for end in _ENDINGS if name.lower().endswith(end)), name)
    folder = Path(os.path.dirname(path) or ".")
    if _has_address(text, name):
        return "the program says where it was downloaded from"
    if any(_names(folder / readme, name) for readme in ("readme.md", "README.md")):
        return "the folder's readme says where it was downloaded from"
    if _ZOO.fullmatch(stem):
        return "it was downloaded"
    if (hit := _SNAPSHOT.fullmatch(stem)) and (solver := _solver_of(folder, hit["prefix"], text)):
        return f"training with {solver} would have written it"
    return None


def _has_address(text: str, name: str) -> bool:
    return re.search(rf"(https?|ftp)://[^\s\"'()<>]*/{re.escape(name)}(?![\w.])", text) is not None


def _names(readme: Path, name: str) -> bool:
    try:
        return (
            re.search(rf"(^|[\s/:]){re.escape(name)}(?![\w.])", readme.read_text(errors="replace"))
            is not None
        )
    except OSError:
        return False


def _solver_of(folder: Path, prefix: str, text: str) -> str | None:
    """The solver that writes snapshots of this name: a file here or beside the model, or one of the program itself."""
    for place in dict.fromkeys((folder, Path("."))):
        try:
            files = sorted(place.glob("*solver*.prototxt"))[:_MOST_SOLVERS]
        except OSError:
            continue
        for file in files:
            try:
                found = _PREFIX.findall(file.read_text(errors="replace"))
            except OSError:
                continue
            if any(os.path.basename(p) == prefix for p in found):
                return str(file)
    wanted = rf"snapshot_prefix\W+[\"'](?:[^\"']*/)?{re.escape(prefix)}[\"']"
    return "the program's solver" if re.search(wanted, text) else None


def nearest(path: str, count: int = 3) -> list[str]:
    """Files beside a path that does not exist, or folders beside the first one that does not, of a similar name."""
    from difflib import SequenceMatcher

    missing = Path(path)
    while missing.parent != missing and not missing.parent.is_dir():
        missing = missing.parent
    try:
        there = sorted(os.listdir(missing.parent))
    except OSError:
        return []
    end = missing.suffix.lower()

    def likeness(name: str) -> float:
        return SequenceMatcher(None, name.lower(), missing.name.lower()).ratio() + 0.5 * (
            bool(end) and name.lower().endswith(end)
        )

    close = sorted((n for n in there if likeness(n) >= _LEAST_LIKE), key=likeness, reverse=True)[:count]
    return [str(missing.parent / name) for name in close]
