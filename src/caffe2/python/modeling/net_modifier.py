"""Things that change a net after it was built. Source: caffe2/python/modeling/net_modifier.py."""

from __future__ import annotations

import abc
from typing import Any


class NetModifier(abc.ABC):
    """Base class: an object with `modify_net`, called with the net as ``modifier(net)``."""

    @abc.abstractmethod
    def modify_net(
        self,
        net: Any,
        init_net: Any = None,
        grad_map: dict[str, Any] | None = None,
        blob_to_device: dict[str, Any] | None = None,
        modify_output_record: bool = False,
    ) -> None:
        """Change ``net`` in place."""

    def __call__(
        self,
        net: Any,
        init_net: Any = None,
        grad_map: dict[str, Any] | None = None,
        blob_to_device: dict[str, Any] | None = None,
        modify_output_record: bool = False,
    ) -> None:
        self.modify_net(net, init_net, grad_map, blob_to_device, modify_output_record)
