"""Workspaces: named blobs and the nets that were created over them.

Owned here: blob lookup, creation, removal; the nets of a workspace. Who calls it: doors, operators that
work on a workspace (control flow, files), tests.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import weakref
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

from freshpot.engine.blob import Blob
from freshpot.engine.kept import feed_again, feed_kept, glance
from freshpot.engine.plan import Plan
from freshpot.errors import MissingBlobError, NameClashError, NetError, near_matches
from freshpot.net.net import Net
from freshpot.net.op import Op
from freshpot.ops.copies import own_copy

#: how many nets that were run once a workspace keeps bound
_RECENT = 64


def _remove(folder: str, made_by: int) -> None:
    """Remove a folder, unless this process was forked from the one that made it."""
    if os.getpid() == made_by:
        shutil.rmtree(folder, ignore_errors=True)


class Workspace:
    """Named blobs, and nets over them.

    Args:
        root: folder for files that operators write (``Print(to_file=1)`` …); made when needed.
            None: a temporary folder, made when first asked for, removed with the workspace or when Python ends.
        parent: a workspace whose blobs are seen from here too. New blobs are made here.
    """

    def __init__(self, root: str | os.PathLike[str] | None = None, parent: Workspace | None = None) -> None:
        self._blobs: dict[str, Blob] = {}
        self._root = os.fspath(root) if root is not None else None
        self.parent = parent
        self.nets: dict[str, Plan] = {}
        #: True inside an operator, which gives and takes blobs between the runs of its nets
        self.inner = False
        #: nets that were run once and may come again, by identity, the latest last
        self._recent: dict[int, Plan] = {}
        #: goes up when shapes or types were changed from outside: plans check their inputs again
        self.epoch = 0
        #: goes up when blobs were removed or linked: plans look their blobs up again
        self.layout_epoch = 0
        self._followed = (0, 0)

    # ---- blobs ---------------------------------------------------------------------------------
    @property
    def root(self) -> str:
        """The folder for files that operators write."""
        if self._root is None:
            self._root = self.parent.root if self.parent else self._own_root()
        os.makedirs(self._root, exist_ok=True)
        return self._root

    def _own_root(self) -> str:
        made = tempfile.mkdtemp(prefix="freshpot-")
        weakref.finalize(self, _remove, made, os.getpid())
        return made

    def find(self, name: str) -> Blob | None:
        """The blob of that name here or in a parent, or None."""
        found = self._blobs.get(name)
        if found is None and self.parent is not None:
            return self.parent.find(name)
        return found

    def create(self, name: str) -> Blob:
        """The blob of that name; made here, empty, if there is none here or in a parent."""
        return self.find(name) or self.create_local(name)

    def create_local(self, name: str) -> Blob:
        """The blob of that name in this very workspace, made if there is none, parents or not."""
        return self._blobs.setdefault(name, Blob(name))

    def link(self, name: str, blob: Blob) -> None:
        """Let ``name`` mean a blob of another workspace here."""
        if self._blobs.get(name) is not blob:
            self._blobs[name] = blob
            self._layout_changed()

    def remove(self, name: str) -> bool:
        """Remove a blob; False if there was none. Plans that use it notice at their next run."""
        self._layout_changed()
        return self._blobs.pop(name, None) is not None

    def child(self, *, sees_parent: bool = True) -> Workspace:
        """A workspace inside this one, for an operator that runs a net of its own.

        Without ``sees_parent`` only the blobs linked into it come from outside.
        """
        made = Workspace(self._root, parent=self if sees_parent else None)
        made.inner = True
        made.follow(self)
        return made

    def follow(self, outer: Workspace) -> None:
        """Notice what changed in the workspace around this one, so that plans made here check again."""
        if self._followed != (now := (outer.epoch, outer.layout_epoch)):
            self.epoch += 1
            if self._followed[1] != now[1]:
                self.layout_epoch += 1
            self._followed = now

    def _layout_changed(self) -> None:
        self.epoch += 1
        self.layout_epoch += 1
        self._recent.clear()  # they would keep what was removed

    def blobs(self) -> list[Blob]:
        """The blobs of this very workspace, those linked into it included."""
        return list(self._blobs.values())

    def names(self) -> list[str]:
        """Names of all blobs seen from here, sorted, the parents' included."""
        own = set(self._blobs)
        return sorted(own.union(self.parent.names()) if self.parent else own)

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and self.find(name) is not None

    def __iter__(self) -> Iterator[str]:
        return iter(self.names())

    def get(self, name: str) -> Any:
        """What the blob holds: a tensor, an array of strings, or another object. No copy.

        Raises:
            MissingBlobError: there is no such blob, or nothing was written to it yet.
        """
        blob = self.find(name)
        if blob is None:
            raise MissingBlobError(
                f"there is no blob '{name}' in the workspace.{near_matches(name, self.names())}", blob=name
            )
        if blob.empty:
            raise MissingBlobError(
                f"blob '{name}' holds nothing yet: feed it, or run the net that writes it.", blob=name
            )
        return blob.value

    def feed(self, name: str, value: Any) -> Blob:
        """Put a value into a blob, made if needed. Arrays and tensors are copied.

        Raises:
            DTypeError: a numpy array of a type that tensors do not have.
        """
        blob = self.create(name)
        array = value.__class__ is np.ndarray
        if array and feed_again(blob, value):
            return blob
        new = own_copy(name, value)
        if not _alike(glance(blob), new):
            self.epoch += 1
        if array and isinstance(new, torch.Tensor):
            feed_kept(blob, new)
        else:
            blob.value = new
        return blob

    # ---- nets ----------------------------------------------------------------------------------
    def create_net(self, net: Net, overwrite: bool = False) -> Plan:
        """Bind a net to this workspace under its name, for running it many times.

        Raises:
            NameClashError: a net of that name exists and ``overwrite`` is not set.
            NetError: what is wrong with the net; the workspace stays usable.
        """
        if not net.name:
            raise NetError("the net has no name; give it one to create it (or run it once).")
        if net.name in self.nets and not overwrite:
            raise NameClashError(
                "a net of this name exists already in the workspace."
                " Pass overwrite=True to replace it, or give the net another name.",
                net=net.name,
            )
        plan = self.nets[net.name] = Plan(net, self, like=self.nets.get(net.name), often=True)
        return plan

    def net(self, name: str) -> Plan:
        """A net that was created before.

        Raises:
            NetError: there is none of that name.
        """
        if name not in self.nets:
            raise NetError(
                f"there is no net '{name}' in the workspace.{near_matches(name, self.nets)}"
                " Create it with CreateNet first."
            )
        return self.nets[name]

    def plan(self, net: Net) -> Plan:
        """Bind a net to this workspace without giving it a name here."""
        return Plan(net, self)

    def run_once(self, net: Net) -> None:
        """Bind a net, run it, forget it. Its blobs stay."""
        Plan(net, self).run()

    def run_again(self, net: Net, times: int = 1) -> None:
        """As `run_once`, for a net that may well come again, the same object, and that nobody changes.

        It need not be bound again then, unless one of its operators remembers its earlier runs.
        """
        key = id(net)
        plan = self._recent.pop(key, None)  # taken out, so that another thread binds its own
        if plan is None or plan.net is not net:
            plan = Plan(net, self)
            if plan.remembers:
                plan.run(times)
                return
        plan.run(times)
        self._recent[key] = plan
        if len(self._recent) > _RECENT:
            self._recent.pop(next(iter(self._recent)), None)

    def run_op(self, op: Op) -> None:
        """Run a single operator."""
        self.run_once(Net(ops=[op]))


def _alike(old: Any, new: Any) -> bool:
    """True if nets that were checked with one value need not be checked with the other."""
    if isinstance(new, torch.Tensor):
        return (
            isinstance(old, torch.Tensor)
            and old.shape == new.shape
            and old.dtype is new.dtype
            and old.device == new.device
        )
    return type(old) is type(new) and getattr(old, "shape", None) == getattr(new, "shape", None)
