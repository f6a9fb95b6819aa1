"""Lists of nets and of further builders, filled inside ``with`` blocks.

Owned here: `NetBuilder`. Who calls it: `net_builder`, the blocks beside this module, `task`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

from caffe2.python import context, core
from caffe2.python._errors import require


class NetBuilder(context.Managed):
    """Parts of a step: nets, and builders of inner steps, in the order in which they run.

    A builder is of one of two kinds. Parts of the plain kind become steps (`core.to_execution_step`). With
    ``_use_control_ops`` they are merged into one net with `If` and `While` operators.

    Args:
        name: its name, put after that of the builder around it.
        initial_scope: names of blobs that exist already.
    """

    def __init__(
        self,
        name: str | None = None,
        initial_scope: Iterable[Any] | None = None,
        _stop_blob_required: bool = False,
        _stop_blob: Any = None,
        _fullname: str | None = None,
        _use_control_ops: bool = False,
    ) -> None:
        require(not _fullname or not name, "name and _fullname exclude each other.")
        stops = _stop_blob_required or _stop_blob
        require(not (_use_control_ops and stops), "builders of control operators have no stop blob.")
        parent = NetBuilder.current(required=False)
        outer_name = parent.name if parent else None
        self.name: str = _fullname or "/".join(part for part in (outer_name, name) if part)
        self._frozen = False
        self._current_net: core.Net | None = None
        self._children: list[Any] = []
        self._init_lexical_scope: set[str] = {str(blob) for blob in initial_scope or ()}
        if parent:
            parent._update_lexical_scope()
            self._init_lexical_scope |= parent._lexical_scope
        self._lexical_scope = set(self._init_lexical_scope)
        self._stop_blob = _stop_blob
        self._stop_blob_required = _stop_blob_required
        self._use_control_ops = _use_control_ops

    # ---- stopping ----------------------------------------------------------------------------------
    def stop_blob(self) -> Any:
        """The bool blob that ends the step when it is true; made, and set to false, if there is none.

        Raises:
            MisuseError: a builder of control operators.
        """
        self._require_steps()
        if self._stop_blob is None:
            net = self.current_net()
            self._stop_blob = core.BlobReference(net.NextName("stop_blob"), net=net)
            net.Const(False, blob_out=self._stop_blob)
            if net is not self._children[0]:
                # it is looked at after every part, so it must be false before the first
                first = core.Net("stop_blob_init")
                first.Const(False, blob_out=self._stop_blob)
                self._children.insert(0, first)
        return self._stop_blob

    def stop_if(self, blob: Any) -> None:
        """End the step here if a bool blob is true.

        Raises:
            MisuseError: a builder of control operators.
        """
        self._require_steps()
        stop_blob = self.stop_blob()
        NetBuilder.current().current_net().Or([stop_blob, blob], [stop_blob])
        self._current_net = None

    def _require_steps(self) -> None:
        require(
            not self._use_control_ops,
            f"builder '{self}' makes control operators, which cannot be stopped; use ops.If and ops.loop.",
        )

    # ---- parts -------------------------------------------------------------------------------------
    def _assert_mutable(self) -> None:
        require(not self._frozen, f"builder '{self}' was built already; add to it before.")

    def _update_lexical_scope(self) -> None:
        """Find the names of the blobs that can be seen now."""
        self._lexical_scope = set(self._init_lexical_scope)
        for child in self._children:
            if isinstance(child, core.Net):
                self._lexical_scope |= child.UsedBlobNames()
            elif isinstance(child, NetBuilder) and child._use_control_ops:
                self._lexical_scope |= child._lexical_scope

    def _take_children(self) -> list[Any]:
        """The parts so far; there are none afterwards."""
        children = self._children
        self._set_children([])
        self._lexical_scope = set(self._init_lexical_scope)
        return children

    def _set_children(self, children: list[Any]) -> None:
        self._current_net = None
        self._children = children

    def add(self, child: Any) -> Any:
        """Append a net, a step or a builder, and return it.

        Raises:
            MisuseError: built already; or, for control operators, a part that is not a net nor made of such.
        """
        self._assert_mutable()
        mergeable = isinstance(child, core.Net) or getattr(child, "_use_control_ops", False)
        require(
            not self._use_control_ops or mergeable,
            f"builder '{self}' makes one net of control operators, so it takes nets, IfNet and WhileNet; "
            f"got {type(child).__name__}.",
        )
        self._children.append(child)
        self._current_net = child if isinstance(child, core.Net) else None
        self._update_lexical_scope()
        return child

    def current_net(self, name: str | None = None) -> core.Net:
        """The net that operators are added to; a new one if there is none, or if a name is given."""
        self._assert_mutable()
        if self._current_net is None or name is not None:
            return self.add(core.Net(name))
        return self._current_net

    def freeze(self) -> None:
        """Take no more parts, nor do the builders inside."""
        for child in self._children:
            if hasattr(child, "freeze"):
                child.freeze()
        self._current_net = None
        self._frozen = True

    def get(self) -> list[Any]:
        """The parts. None can be added afterwards."""
        self.freeze()
        return self._children

    def _finish(self) -> None:
        """For builders that derive from this one: what to do when the block ends well, still inside it."""

    def __exit__(self, kind: Any = None, *args: Any) -> None:
        try:
            if kind is None:
                self._finish()
        finally:
            super().__exit__(kind, *args)
        if self._use_control_ops and self._children and kind is None:
            children = self._take_children()
            self._children = [NetBuilder.merge_nets(children, self._lexical_scope)]
        self.freeze()
        require(
            kind is not None or self._stop_blob is not None or not self._stop_blob_required,
            f"builder '{self}' is a loop without end: say ops.stop() or ops.stop_if(blob) in it.",
        )

    @staticmethod
    def merge_nets(nets_or_builders: Iterable[Any], outer_blob_names: Collection[str]) -> core.Net | None:
        """The nets joined into the first of them; None if there are none.

        Its external outputs are those that are among ``outer_blob_names``: others are of use to a later part
        alone.
        """
        merged: core.Net | None = None
        for part in nets_or_builders:
            net = _single_net(part) if isinstance(part, NetBuilder) else part
            require(isinstance(net, core.Net), f"nets are merged, not {type(net).__name__}.")
            merged = merged.AppendNet(net) if merged else net
        if merged:
            proto = merged.Proto()
            proto.external_output[:] = [name for name in proto.external_output if name in outer_blob_names]
        return merged

    def __str__(self) -> str:
        return self.name or "Un-named NetBuilder"


def _single_net(builder: NetBuilder) -> Any:
    nets = builder.get()
    require(
        builder._use_control_ops and len(nets) == 1,
        f"builder '{builder}' cannot be merged into a net: it is not one IfNet or WhileNet.",
    )
    return nets[0]
