"""What saves and loads the blobs of one node, or of several.

Owned here: managers of checkpoints and the names of their files. Who calls it: `checkpoint`.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Sequence
from typing import Any

from caffe2.python import core
from caffe2.python._errors import require
from caffe2.python.net_builder import ops
from caffe2.python.task import Node, Task, TaskGroup, WorkspaceType, final_output

logger = logging.getLogger("caffe2.python.checkpoint")


def get_ckpt_filename(node_name: str, epoch: int) -> str:
    """A checkpoint's file: "node.epoch"."""
    return f"{node_name}.{epoch}"


def db_name(epoch: int, node_name: str, db_prefix: str, path_prefix: str | None = None) -> str:
    """A checkpoint's path: in the folder ``db_prefix``, or right behind ``path_prefix`` if that is given."""
    file = get_ckpt_filename(node_name, epoch)
    return path_prefix + file if path_prefix else os.path.join(db_prefix, file)


class _Metadata:
    """What both kinds of managers do with an object that keeps account of checkpoints."""

    _metadata_handler: Any
    _db_prefix: str
    _db_type: str
    _path_prefix: str | None
    _path_type: str | None

    def write_checkpoint_metadata(self, epoch: int) -> None:
        """Note that an epoch was saved."""
        if self._metadata_handler is not None:
            self._metadata_handler.write(epoch=epoch)

    def get_resume_from_epoch_id(self, user_epoch: int | None = None) -> int | None:
        """The epoch to go on from: the user's, unless the metadata say another; None: from the start."""
        if self._metadata_handler is not None:
            found: int | None = self._metadata_handler.last_epoch(user_epoch=user_epoch)
            return found
        return user_epoch

    def cp_accessible(self, epoch: int | None = None) -> bool:
        """Whether checkpoints can be reached, as the metadata say."""
        if self._metadata_handler is not None:
            return bool(self._metadata_handler.cp_accessible(epoch))
        return True

    def _set_params(self, node_names: list[str], path_prefix: str | None, path_type: str | None) -> None:
        if path_prefix:
            self._path_prefix = path_prefix
        if path_type:
            self._path_type = path_type
        if self._metadata_handler:
            self._metadata_handler.set_params(
                db_prefix=self._db_prefix,
                db_type=self._db_type,
                node_names=node_names,
                path_prefix=self._path_prefix,
                path_type=self._path_type,
            )


class CheckpointManager(_Metadata):
    """Makes tasks that save and load all blobs of one node.

    Args:
        db_prefix: folder of the checkpoints.
        node_name: the node's name, of which the files' names are made.
        db_type: kind of database, as "minidb".
        metadata_handler: keeps account of checkpoints elsewhere.
    """

    BLOB_NAMES = "blob_names"

    def __init__(self, db_prefix: str, node_name: str, db_type: str, metadata_handler: Any = None) -> None:
        self._db_prefix = db_prefix
        self._node_name = node_name
        self._db_type = db_type
        self._metadata_handler = metadata_handler
        # the name sorts before all others, so that these blobs come first in the file
        self._net = core.Net("!!checkpoint_mngr")
        self._blob_names = self._net.AddExternalInput(self.BLOB_NAMES)
        self._names_output: Any = None
        self._path_prefix = None
        self._path_type = None
        self._current_db_name: str | None = None
        self._current_checkpoint_duration: Any = None

    def init(
        self,
        nodes: Sequence[Any] | None = None,
        retrieve_from_epoch: int | None = None,
        path_prefix: str | None = None,
        path_type: str | None = None,
    ) -> Any:
        """A task that finds out which blobs there are; run it after the job's init group.

        Args:
            nodes: the node, if it is named at all.
            retrieve_from_epoch: take the names from this checkpoint.
            path_prefix, path_type: where and what that is, if not as usual.

        Raises:
            MisuseError: several nodes.
        """
        require(
            nodes is None or len(nodes) == 1,
            "CheckpointManager serves one node; MultiNodeCheckpointManager several.",
        )
        with Task(outputs=[self._blob_names]) as task:
            if retrieve_from_epoch is None:
                ops.GetAllBlobNames([], self._blob_names, include_shared=False)
            else:
                path = db_name(retrieve_from_epoch, self._node_name, self._db_prefix, path_prefix)
                logger.info("Initializing checkpoints from = %s", path)
                ops.Load(
                    [],
                    self._blob_names,
                    db=path,
                    db_type=path_type or self._db_type,
                    absolute_path=True,
                    keep_device=True,
                )
        self._names_output = task.outputs()[0]
        return task

    def blob_list(self) -> list[Any]:
        """Names of the blobs. Raises MisuseError before `init`."""
        require(bool(self._names_output), "run what init returns first.")
        names: list[Any] = self._names_output.fetch().tolist()
        return names

    def _timed_task(self, name: str, add_op: Callable[[], Any]) -> Any:
        with Task(name=name) as task:
            with ops.task_init():
                timer = ops.TimerBegin([], counter_name=self._node_name)
            add_op()
            with ops.task_exit():
                duration = ops.TimerGetAndEnd(timer)
            self._current_checkpoint_duration = final_output(duration)
        return task

    def collect_checkpoint_stats(self, stats: dict[str, Any]) -> None:
        """Add the time of the last checkpoint, in nanoseconds, under its path."""
        if self._current_db_name and self._current_checkpoint_duration:
            stats[self._current_db_name] = self._current_checkpoint_duration.fetch()[0]
        else:
            logger.info("Failed to collect checkpoint stats: %s", self._current_db_name)

    def load(self, epoch: int, path_prefix: str | None = None, path_type: str | None = None) -> Any:
        """A task that loads all blobs of an epoch."""
        path = self._current_db_name = db_name(epoch, self._node_name, self._db_prefix, path_prefix)
        logger.info("Loading checkpoints from = %s", path)
        kind = path_type or self._db_type
        return self._timed_task(
            "checkpoint_load",
            lambda: ops.Load(
                [], self.blob_list(), db=path, db_type=kind, absolute_path=True, keep_device=True
            ),
        )

    def load_blobs_from_checkpoint(self, blob_names: Sequence[Any], epoch: int) -> Any:
        """A task that loads some blobs of an epoch; those that are not there are left out."""
        path = self._current_db_name = db_name(epoch, self._node_name, self._db_prefix)
        logger.info("Load from %s", path)
        return self._timed_task(
            "checkpoint_partial_load",
            lambda: ops.Load(
                [],
                blob_names,
                db=path,
                db_type=self._db_type,
                absolute_path=True,
                allow_incomplete=True,
            ),
        )

    def check_db_exists(self, epoch: int) -> Any:
        """A task whose output says whether there is a checkpoint of an epoch."""
        path = db_name(epoch, self._node_name, self._db_prefix)
        logger.info("Check existence of %s", path)
        with Task() as task:
            existence = ops.Const(False)
            ops.DBExists([], [existence], db_name=path, db_type=self._db_type, absolute_path=True)
            task.add_output(existence)
        return task

    def report_checkpoint_stats(self, action_name: str) -> None:
        """Tell the metadata handler how long the last checkpoint took."""
        stats: dict[str, Any] = {}
        self.collect_checkpoint_stats(stats)
        if self._metadata_handler:
            self._metadata_handler.report(action_name, stats)

    def save(self, epoch: int) -> Any:
        """A task that saves all blobs of the node."""
        path = self._current_db_name = db_name(epoch, self._node_name, self._db_prefix)
        logger.info("Saving to %s", path)
        return self._timed_task(
            "checkpoint_save",
            lambda: ops.Save(self.blob_list(), [], db=path, db_type=self._db_type, absolute_path=True),
        )

    def set_params(
        self, nodes: Sequence[Any], path_prefix: str | None = None, path_type: str | None = None
    ) -> None:
        """Tell the metadata handler where checkpoints are."""
        self._set_params([str(self._node_name)], path_prefix, path_type)


class MultiNodeCheckpointManager(_Metadata):
    """Makes groups of tasks that save and load the blobs of several nodes; else as `CheckpointManager`."""

    def __init__(self, db_prefix: str, db_type: str, metadata_handler: Any = None) -> None:
        self._node_managers: list[tuple[Any, CheckpointManager]] | None = None
        self._db_prefix = db_prefix
        self._db_type = db_type
        self._metadata_handler = metadata_handler
        self._path_prefix = None
        self._path_type = None

    def _task_group(self, func: Callable[..., Any], *args: Any, **kw: Any) -> Any:
        require(self._node_managers is not None, "init must be called first.")
        with TaskGroup(WorkspaceType.GLOBAL) as group:
            for node, manager in self._node_managers or ():
                with Node(node):
                    func(manager, *args, **kw)
            return group

    def _manage(self, nodes: Sequence[Any]) -> None:
        self._node_managers = []
        for node in nodes:
            with Node(node):
                manager = CheckpointManager(self._db_prefix, str(node), self._db_type)
                self._node_managers.append((node, manager))

    def _same_nodes(self, nodes: Sequence[Any]) -> None:
        found = [node for node, _ in self._node_managers or ()]
        require(found == list(nodes), f"this manager was made for nodes {found}, got {list(nodes)}.")

    def init(
        self,
        nodes: Sequence[Any],
        retrieve_from_epoch: int | None = None,
        path_prefix: str | None = None,
        path_type: str | None = None,
    ) -> Any:
        """As `CheckpointManager.init`, for each node. Raises MisuseError for other nodes than the first time."""
        if self._node_managers is not None:
            self._same_nodes(nodes)
            return TaskGroup(WorkspaceType.GLOBAL)
        self._manage(nodes)
        return self._task_group(
            CheckpointManager.init,
            nodes=[nodes[-1]],
            retrieve_from_epoch=retrieve_from_epoch,
            path_prefix=path_prefix,
            path_type=path_type,
        )

    def load(self, epoch: int, path_prefix: str | None = None, path_type: str | None = None) -> Any:
        """As `CheckpointManager.load`, for each node."""
        return self._task_group(CheckpointManager.load, epoch, path_prefix=path_prefix, path_type=path_type)

    def load_blobs_locally(
        self, nodes: Sequence[Any], blob_names: Sequence[Any], epoch: int, session: Any
    ) -> bool:
        """Load some blobs of all nodes' checkpoints into the current workspace; False if one is missing.

        Raises:
            MisuseError: other nodes than the first time.
        """
        if self._node_managers is None:
            self._manage(nodes)
        self._same_nodes(nodes)
        for _, manager in self._node_managers or ():
            existence = manager.check_db_exists(epoch)
            session.run(existence)
            if not existence.outputs()[0].fetch():
                path = db_name(epoch, manager._node_name, manager._db_prefix)
                logger.info("DB %s does not exist!", path)
                return False
            session.run(manager.load_blobs_from_checkpoint(blob_names, epoch))
        logger.info("Successfully loaded from checkpoints.")
        return True

    def get_ckpt_db_name(self, node_name: str, epoch: int) -> str | None:
        """Path of a node's checkpoint; None for another node."""
        for node, manager in self._node_managers or ():
            if str(node) == node_name:
                return db_name(epoch, manager._node_name, manager._db_prefix)
        return None

    def report_checkpoint_stats(self, action_name: str) -> None:
        """Tell the metadata handler how long each node's last checkpoint took."""
        stats: dict[str, Any] = {}
        for _, manager in self._node_managers or ():
            manager.collect_checkpoint_stats(stats)
        logger.debug("checkpoint stats: %s", stats)
        if self._metadata_handler:
            self._metadata_handler.report(action_name, stats)

    def save(self, epoch: int) -> Any:
        """As `CheckpointManager.save`, for each node."""
        return self._task_group(CheckpointManager.save, epoch)

    def set_params(
        self, nodes: Sequence[Any], path_prefix: str | None = None, path_type: str | None = None
    ) -> None:
        """Tell the metadata handler where checkpoints are."""
        self._node_names = [str(node) for node in nodes]
        self._set_params(self._node_names, path_prefix, path_type)
