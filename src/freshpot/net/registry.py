"""The register of operator definitions, filled by walking the `freshpot.ops` folder.

Owned here: name -> definition. Who calls it: everyone who needs to know what an operator is.
Nothing is imported until the first question, so `import freshpot.net` stays light.
"""

from __future__ import annotations

import functools
import importlib
import pkgutil
import threading
from typing import TYPE_CHECKING

from freshpot._loading import no_garbage
from freshpot.errors import UnknownOperatorError, near_matches

if TYPE_CHECKING:
    from freshpot.ops._operator import Operator

_definitions: dict[str, type[Operator]] = {}
_loading = threading.RLock()
_loaded = False


def add(definition: type[Operator]) -> None:
    """Enter a definition under its type name. Called by `Operator.__init_subclass__` alone."""
    known = _definitions.get(definition.type)
    if known is not None and known.__module__ != definition.__module__:
        raise TypeError(
            f"operator {definition.type} is defined twice: in {known.__module__} and {definition.__module__}"
        )
    _definitions[definition.type] = definition


def load() -> None:
    """Import every operator module once."""
    global _loaded
    with _loading:
        if _loaded:
            return
        package = importlib.import_module("freshpot.ops")  # by name: found from here, not needed here
        with no_garbage():
            for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
                importlib.import_module(module.name)
        _loaded = True


def find(type_name: str) -> type[Operator] | None:
    """The definition of an operator type, or None."""
    if type_name not in _definitions:
        load()
    return _definitions.get(type_name)


def get(type_name: str) -> type[Operator]:
    """The definition of an operator type.

    Raises:
        UnknownOperatorError: there is none; the message says whether Caffe2 has it, or names near matches.
    """
    found = find(type_name)
    if found is not None:
        return found
    if type_name in originals():
        raise UnknownOperatorError(
            f"operator '{type_name}' of Caffe2 is not supported by freshpot yet; docs/support.md lists what is."
        )
    raise UnknownOperatorError(
        f"there is no operator '{type_name}'.{near_matches(type_name, _definitions)}"
        " `freshpot ops` lists all that there are."
    )


@functools.cache
def originals() -> frozenset[str]:
    """Types of the operators that Caffe2 itself has."""
    text = (pkgutil.get_data("freshpot.net", "caffe2_operators.txt") or b"").decode()
    return frozenset(line for line in text.splitlines() if not line.startswith("#"))


def names() -> list[str]:
    """The types of all operators, sorted."""
    load()
    return sorted(_definitions)
