"""Name scopes and device scopes, one stack of each per thread.

Owned here: the scopes in force. Who calls it: `core` (names and devices of new operators), programs.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from typing import Any

from caffe2.proto import caffe2_pb2
from caffe2.python._errors import require

_NAMESCOPE_SEPARATOR = "/"


class _Scopes(threading.local):
    name: str = ""
    device: Any = None


_scopes = _Scopes()


def CurrentNameScope() -> str:
    """The prefix of new names: empty, or ending in ``/``."""
    return _scopes.name


def CurrentDeviceScope() -> Any:
    """The DeviceOption for new operators, or None."""
    return _scopes.device


@contextlib.contextmanager
def NameScope(prefix: str | None, reset: bool = False) -> Iterator[None]:
    """Prefix new names with ``prefix/``, after the scopes around it unless ``reset``.

    Raises:
        MisuseError: the prefix is not text, or the scope was changed by other means inside.
    """
    require(prefix is None or isinstance(prefix, str), f"NameScope wants text, got {type(prefix).__name__}.")
    added = prefix + _NAMESCOPE_SEPARATOR if prefix else ""
    before = _scopes.name
    _scopes.name = added if reset else before + added
    try:
        yield
    finally:
        require(_scopes.name.endswith(added), f"the name scope '{added}' was changed from outside NameScope.")
        _scopes.name = before


@contextlib.contextmanager
def DeviceScope(scope: Any, node_name: str | None = None) -> Iterator[None]:
    """Let new operators run on the device of a DeviceOption.

    An outer scope's node name is inherited where none is given; extra infos add up, sorted.

    Raises:
        MisuseError: neither a DeviceOption nor a node name is given.
    """
    new = caffe2_pb2.DeviceOption()
    if scope:
        require(
            isinstance(scope, caffe2_pb2.DeviceOption),
            f"DeviceScope wants a DeviceOption, got {type(scope).__name__}. Make one with core.DeviceOption.",
        )
        new.CopyFrom(scope)
    else:
        require(node_name, "DeviceScope wants a DeviceOption or a node name.")
    if node_name:
        new.node_name = node_name
    before = _scopes.device
    if before is not None:
        if before.HasField("node_name") and not new.HasField("node_name"):
            new.node_name = before.node_name
        new.extra_info.extend(before.extra_info)
    new.extra_info.sort()
    _scopes.device = new
    try:
        yield
    finally:
        require(_scopes.device == new, "the device scope was changed from outside DeviceScope.")
        _scopes.device = before


@contextlib.contextmanager
def EmptyNameScope() -> Iterator[None]:
    """No name scope inside."""
    before = _scopes.name
    _scopes.name = ""
    try:
        yield
    finally:
        _scopes.name = before


@contextlib.contextmanager
def EmptyDeviceScope() -> Iterator[None]:
    """No device scope inside: operators follow their net's device."""
    before = _scopes.device
    _scopes.device = None
    try:
        yield
    finally:
        _scopes.device = before
