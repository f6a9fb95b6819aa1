"""Trainings in epochs that are saved and can be resumed.

Source: caffe2/python/checkpoint.py.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from caffe2.python._checkpoint.job import Job, epoch_limiter
from caffe2.python._checkpoint.manager import (
    CheckpointManager,
    MultiNodeCheckpointManager,
    db_name,
    get_ckpt_filename,
)

__all__ = [
    "CheckpointManager",
    "Job",
    "JobRunner",
    "MultiNodeCheckpointManager",
    "UploadTaskGroupBuilder",
    "db_name",
    "epoch_limiter",
    "get_ckpt_filename",
]

logger = logging.getLogger(__name__)


class UploadTaskGroupBuilder:
    """Makes the tasks that carry checkpoints elsewhere after a training; subclasses give `build`."""

    def build(self, epoch: int, checkpoint_manager: Any) -> Any:
        """A group of tasks that uploads the checkpoint of an epoch."""
        raise NotImplementedError(f"{type(self).__name__} must give a method 'build'.")


class JobRunner:
    """Runs a job, with checkpoints after its init group and after each epoch.

    Args:
        job: what to run.
        checkpoint_manager: saves and loads; None: no checkpoints.
        resume_from_epoch: load this epoch's checkpoint instead of running the init group, and go on.
        upload_task_group_builder: makes tasks that run after the last epoch.
    """

    def __init__(
        self,
        job: Job,
        checkpoint_manager: Any = None,
        resume_from_epoch: int | None = None,
        upload_task_group_builder: UploadTaskGroupBuilder | None = None,
    ) -> None:
        self.resume_from_epoch = resume_from_epoch
        self.checkpoint_manager = checkpoint_manager
        self.job = job
        self.upload_task_group_builder = upload_task_group_builder

    def train(self, session: Any) -> int:
        """Run the job in a session; returns the last epoch's number, the first being 1."""
        manager = self.checkpoint_manager
        if manager:
            manager.set_params(nodes=self.job.nodes_to_checkpoint())
            self.resume_from_epoch = manager.get_resume_from_epoch_id(self.resume_from_epoch)
            if self.resume_from_epoch is not None:
                logger.info("Resuming from epoch %s", self.resume_from_epoch)
        if self.resume_from_epoch is None:
            session.run(self.job.init_group)
        if manager:
            self._prepare_checkpoints(session)
        logger.info("Finished initializing")
        epoch = self._run_epochs(session)
        logger.info("Finished training")
        if self.upload_task_group_builder:
            session.run(self.upload_task_group_builder.build(epoch, manager))
            logger.info("Finished uploading the checkpoints")
        session.run(self.job.download_group)
        logger.info("Finished downloading the parameters")
        session.run(self.job.exit_group)
        logger.info("Finished running the exit group")
        return epoch

    def _prepare_checkpoints(self, session: Any) -> None:
        logger.info("Preparing checkpoints ...")
        manager, epoch = self.checkpoint_manager, self.resume_from_epoch
        session.run(manager.init(self.job.nodes_to_checkpoint(), retrieve_from_epoch=epoch))
        if epoch is None:
            self.save_checkpoints(0, session)
            return
        logger.info("Loading checkpoints for epoch %s ...", epoch)
        session.run(manager.load(epoch))
        manager.report_checkpoint_stats("checkpoint_load")
        logger.info("Checkpoint loaded")

    def _run_epochs(self, session: Any) -> int:
        epoch = self.resume_from_epoch or 0
        stop = False
        while not stop:
            epoch += 1
            logger.info("Starting epoch %d", epoch)
            session.run(self.job.epoch_group)
            logger.info("Finished epoch %d", epoch)
            found = [output.fetch() for output in self.job.stop_conditions]
            stop = any(found)
            if self.checkpoint_manager:
                self.save_checkpoints(epoch, session)
        logger.info("Stopping")
        return epoch

    def _need_manager(self) -> Any:
        if not self.checkpoint_manager:
            raise ValueError("this JobRunner was made without a checkpoint manager.")
        return self.checkpoint_manager

    def load_blobs_from_checkpoints(self, blob_names: Sequence[Any], epoch: int, session: Any) -> bool:
        """Load some blobs of an epoch into the current workspace, as for evaluation; False if one is missing.

        Raises:
            ValueError: there is no checkpoint manager.
        """
        manager = self._need_manager()
        logger.info("Loading checkpoint for epoch %s ...", epoch)
        loaded = manager.load_blobs_locally(self.job.nodes_to_checkpoint(), blob_names, epoch, session)
        manager.report_checkpoint_stats("checkpoint_partial_load")
        return bool(loaded)

    def save_checkpoints(self, epoch: int, session: Any) -> None:
        """Save the blobs of all nodes. What goes wrong is logged; the training goes on.

        Raises:
            ValueError: there is no checkpoint manager.
        """
        manager = self._need_manager()
        try:
            if not manager.cp_accessible(epoch=None):
                logger.warning("Checkpoint files cannot be accessed!")
                return
            logger.info("Saving checkpoints for epoch %s", epoch)
            session.run(manager.save(epoch))
            manager.write_checkpoint_metadata(epoch)
            logger.info("Checkpoints saved")
            manager.report_checkpoint_stats("checkpoint_save")
        except Exception as error:
            logger.warning("Unable to write checkpoint for epoch %s. Error=%s", epoch, error)
