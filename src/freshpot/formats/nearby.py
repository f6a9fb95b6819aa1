"""What is said of a path that is not there: where it was looked for, and what lies there that it may have meant.

Owned here: these words. Who calls it: whatever opens a file or a database that a user named.
"""

from __future__ import annotations

import os
from itertools import islice

from freshpot.errors import near_matches

__all__ = ["looked_in"]

#: names in a folder beyond which no more are compared
_MOST = 5000


def looked_in(path: str | os.PathLike[str]) -> str:
    """The end of the sentence "there is no such file …": the folder it was looked for in, and near names in it.

    ``" in /home/me/caffe. Did you mean lenet.prototxt?"``, or ``": there is no folder /home/me/cafe."``
    """
    try:
        whole = os.path.abspath(os.fsdecode(path))
        if os.path.exists(whole):
            return f": {whole} is a {'folder' if os.path.isdir(whole) else 'file'}."
        folder, name = os.path.split(whole)
        if os.path.isdir(folder):
            with os.scandir(folder) as entries:
                return f" in {folder}.{near_matches(name, [entry.name for entry in islice(entries, _MOST)])}"
        while not os.path.exists(os.path.dirname(folder)) and os.path.dirname(folder) != folder:
            folder = os.path.dirname(folder)
        kind = "no folder" if not os.path.exists(folder) else "a file, no folder, at"
        return f": there is {kind} {folder}."
    except (OSError, ValueError):  # a folder that may not be listed, a name that is no file name
        return "."
