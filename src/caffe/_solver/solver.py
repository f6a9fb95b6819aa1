"""`caffe.SGDSolver` and the others: the training loop as Caffe runs and prints it.

Owned here: iterations, tests, displayed lines, when to snapshot. Who calls it: users, the command line.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable
from typing import Any, ClassVar

from caffe import _files, _log, _mode, _random, pycaffe
from caffe._nccl import NCCL
from caffe._solver import detection, nets, rates, report, snapshots, whereabouts
from caffe._solver.several import NONE, SNAPSHOT, STOP, Several
from caffe._solver.update import SLOTS, Update
from caffe._solver.whole import Whole
from freshpot.errors import ArgumentError, near_matches

Callback = Callable[[], None]
#: called after every iteration: iteration, smoothed loss, learning rate
Watcher = Callable[[int, float, float], None]
#: called after every test: iteration, number of the net, mean of each output
TestWatcher = Callable[[int, int, dict[str, float]], None]


class NetVec(list):
    """A list of nets, under the name that pycaffe prints."""


def _nothing() -> None:
    """What a group of solvers does before an iteration."""


class SolverParameter:
    """What pycaffe shows of a solver's description; ``base_lr`` may be set."""

    __slots__ = ("_param",)

    def __init__(self, param: Any) -> None:
        self._param = param

    max_iter = property(lambda self: self._param.max_iter, doc="Iterations of solve().")
    display = property(lambda self: self._param.display, doc="Iterations between two displays; 0: none.")
    layer_wise_reduce = property(
        lambda self: self._param.layer_wise_reduce, doc="Several GPUs: reduce by layer."
    )

    @property
    def base_lr(self) -> float:
        """The learning rate that policies start from."""
        return self._param.base_lr

    @base_lr.setter
    def base_lr(self, value: float) -> None:
        self._param.base_lr = value


class Solver(pycaffe.instance):
    """A solver: a net to train, nets to test on, and where training stands.

    Args:
        solver_file: a solver prototxt.

    Raises:
        DataError: a file that is not there.
        FormatError: a file that cannot be parsed; names the line.
        ArgumentError: fields that are missing or exclude each other.
        NetError: whatever is wrong with a net.
    """

    _kind: ClassVar[str]

    def __init__(self, solver_file: str | os.PathLike[str]) -> None:
        self._start(nets.read_solver(solver_file))

    @classmethod
    def _of(cls, param: Any) -> Solver:
        made = cls.__new__(cls)
        made._start(param)
        return made

    def _start(self, param: Any) -> None:
        if not hasattr(self, "_kind"):
            raise ArgumentError("Solver has no update rule; use SGDSolver or another one, or get_solver().")
        _log.info("solver.cpp:45", "Initializing solver from parameters: \n" + _log.text_of(param))
        self._param = param
        self._check()
        if param.random_seed >= 0:
            _random.seed(param.random_seed + _mode.solver_rank)
        self._train = nets.make_train_net(param)
        self._tests = nets.make_test_nets(param)
        self._net = pycaffe.Net._of(self._train)
        self._test_nets = NetVec(pycaffe.Net._of(net) for net in self._tests)
        self._update = Update(self._kind, self._train, param)
        self._whole = Whole(self._train, self._update)
        self._callbacks: list[tuple[Callback, Callback]] = []
        self._user_calls = 0  # of those, the user's own
        self._several: Several | None = None
        self._watchers: list[Watcher] = []
        self._test_watchers: list[TestWatcher] = []
        self._request: Callable[[], str] = lambda: NONE
        self._stopped = False
        self._iter = self._current_step = 0
        self._display = report.Display(self)
        _log.info("solver.cpp:57", "Solver scaffolding done.")

    def _check(self) -> None:
        param = self._param
        if param.average_loss < 1:
            raise ArgumentError(f"average_loss must be at least 1, got {param.average_loss}.")
        if param.iter_size < 1:
            raise ArgumentError(f"iter_size must be at least 1, got {param.iter_size}.")
        if self._kind in ("AdaGrad", "RMSProp") and param.momentum:
            raise ArgumentError(
                f"{self._kind} has no momentum; the solver gives momentum {param.momentum:g}."
            )
        if self._kind == "RMSProp" and not 0 <= param.rms_decay < 1:
            raise ArgumentError(f"rms_decay must be at least 0 and less than 1, got {param.rms_decay:g}.")
        if param.snapshot:
            snapshots.check_writable(param)

    # ---- what there is -------------------------------------------------------------------------
    @property
    def net(self) -> pycaffe.Net:
        """The net that is trained."""
        return self._net

    @property
    def test_nets(self) -> NetVec:
        """The nets that are tested; they share the trained net's weights from the first test on."""
        return self._test_nets

    @property
    def iter(self) -> int:
        """Updates done."""
        return self._iter

    @property
    def _iter_size(self) -> int:
        """Passes of one iteration."""
        return self._param.iter_size

    @property
    def param(self) -> SolverParameter:
        """The solver's description."""
        return SolverParameter(self._param)

    def add_callback(self, on_start: Callback | NCCL, on_gradients_ready: Callback | None = None) -> None:
        """Have functions called before each iteration's passes, and between them and the update.

        Args:
            on_start: called with nothing; or an `NCCL` alone, which makes the diffs the mean of all solvers'.
            on_gradients_ready: called with nothing.

        Raises:
            TypeError: one function alone.
        """
        if isinstance(on_start, NCCL):
            self._train_with(on_start._several)
        elif on_gradients_ready is None:
            raise TypeError("add_callback() takes two functions, or a caffe.NCCL.")
        else:
            self._callbacks.append((on_start, on_gradients_ready))
            self._user_calls += 1

    def _train_with(self, several: Several) -> None:
        """Train with others from now on."""
        self._several = several
        self._callbacks.append((_nothing, lambda: several.mean_diffs(self._train)))

    def share_weights(self, net: pycaffe.Net) -> None:
        """Let another net use the trained net's weights (the same memory), by layer name."""
        _files.share_weights(net._net, self._train)

    # ---- training ------------------------------------------------------------------------------
    def step(self, iters: int) -> None:
        """Train for some iterations."""
        if _mode.place.type == "cpu":
            self._iterate(iters)
            return
        with contextlib.ExitStack() as stack:
            for net in (self._train, *self._tests):
                stack.enter_context(net.site.one_call())
            self._iterate(iters)

    def _iterate(self, iters: int) -> None:
        start, stop = self._iter, self._iter + iters
        self._display.restart()
        param = self._param
        while self._iter < stop:
            if self._user_calls:
                self._train.clear_param_diffs()
            if self._tests_are_due() and self._test_together():
                break
            self._call(on_start for on_start, _ in self._callbacks)
            shown = bool(param.display) and self._iter % param.display == 0
            self._train.debug_info = shown and param.debug_info
            rate = self._rate_as_one()
            losses = None if rate is None else self._whole.run(rate, self._iter)
            self._display.add_loss(self._passes() if losses is None else losses, start)
            if shown:
                self._display.iteration()
            self._call(on_gradients_ready for _, on_gradients_ready in self._callbacks)
            self._update_weights(None if losses is None else rate)
            if not self._go_on():
                break

    def _call(self, calls: Iterable[Callback]) -> None:
        """Call the user's functions; views that they keep are up to date then."""
        if self._user_calls:
            for net in (self._train, *self._tests):
                net.site.settle()
        for call in calls:
            call()

    def _passes(self) -> float:
        """Forward and backward, iter_size times; the mean loss."""
        loss = 0.0
        for k in range(self._param.iter_size):
            loss += self._train.forward_range(0, len(self._train.layers) - 1)
            self._train.backward_all(fresh=k == 0 and not self._user_calls)
        return loss / self._param.iter_size

    def _rate_as_one(self) -> float | None:
        """The rate of an iteration whose passes and update may run in one go; None where they may not."""
        param = self._param
        if self._callbacks or param.iter_size > 1:
            return None
        if param.lr_policy == "multistep" and self._iter in param.stepvalue:
            return None  # the log says so after the passes
        try:
            return self._learning_rate()
        except ArgumentError:
            return None  # it is refused after the passes

    def _tests_are_due(self) -> bool:
        interval = self._param.test_interval
        return (
            bool(interval)
            and self._iter % interval == 0
            and (self._iter > 0 or self._param.test_initialization)
        )

    def apply_update(self) -> None:
        """Update the weights from their diffs, as at the end of an iteration."""
        self._update_weights(None)

    def _update_weights(self, done: float | None) -> None:
        """The end of an iteration; ``done``: the rate of its update, if that was made already."""
        rate = self._learning_rate() if done is None else done
        if self._param.display and self._iter % self._param.display == 0:
            _log.info("sgd_solver.cpp:112", f"Iteration {self._iter}, lr = {rate:g}")
        if done is not None:
            self._update.say_clipped()
        else:
            self._update.run(rate, self._iter)
        self._iter += 1
        for watcher in self._watchers:
            watcher(self._iter, self._display.smoothed_loss, rate)

    def _learning_rate(self) -> float:
        rate, self._current_step = rates.learning_rate(self._param, self._iter, self._current_step)
        return rate

    def _go_on(self) -> bool:
        """Snapshot if it is time or was asked for; False if a stop was asked for. One of several solvers snapshots."""
        request = self._request()
        if self._several is not None:
            request = self._several.agree(request)
        due = bool(self._param.snapshot) and self._iter % self._param.snapshot == 0
        if (due or request == SNAPSHOT) and _mode.solver_rank == 0:
            self.snapshot()
        self._stopped = request == STOP
        return not self._stopped

    def solve(self, resume_file: str | os.PathLike[str] | None = None) -> None:
        """Train to max_iter, with tests and snapshots as the description says; of several solvers rank 0 does those.

        Args:
            resume_file: a solver state to go on from.
        """
        param = self._param
        _log.info("solver.cpp:289", f"Solving {self._train.name}")
        _log.info("solver.cpp:290", f"Learning Rate Policy: {param.lr_policy}")
        self._stopped = False
        if resume_file is not None:
            _log.info("solver.cpp:296", f"Restoring previous solver status from {os.fspath(resume_file)}")
            self.restore(resume_file)
        start = self._iter
        self.step(param.max_iter - self._iter)
        if _mode.solver_rank > 0:
            return
        if param.snapshot_after_train and not (param.snapshot and self._iter % param.snapshot == 0):
            self.snapshot()
        if self._stopped:
            _log.info("solver.cpp:316", "Optimization stopped early.")
            return
        if param.display and self._iter % param.display == 0:
            loss = self._train.forward_range(0, len(self._train.layers) - 1)
            self._display.add_loss(loss, start)
            _log.info("solver.cpp:327", f"Iteration {self._iter}, loss = {self._display.smoothed_loss:g}")
        if param.test_interval and self._iter % param.test_interval == 0:
            self._test_all()
        _log.info("solver.cpp:332", "Optimization Done.")

    # ---- testing -------------------------------------------------------------------------------
    def _test_together(self) -> bool:
        """Test, if this is the solver that does; True if training is to stop, for all solvers alike."""
        if _mode.solver_rank == 0:
            self._test_all()
        if self._several is not None:
            self._stopped = self._several.agree(STOP if self._stopped else NONE) == STOP
        return self._stopped

    def _test_all(self) -> None:
        for i in range(len(self._tests)):
            if self._stopped:
                return
            self._test(i)

    def _test(self, i: int) -> None:
        _log.info("solver.cpp:347", f"Iteration {self._iter}, Testing net (#{i})")
        net, count = self._tests[i], self._param.test_iter[i]
        _files.share_weights(net, self._train)
        scores = detection.scores_of(self._param, net)
        for _ in range(count):
            self._answer_requests()
            if self._stopped:
                _log.info("solver.cpp:396", "Test interrupted.")
                return
            scores.add(net.forward_range(0, len(net.layers) - 1))
        if count and self._param.test_compute_loss:
            _log.info("solver.cpp:401", f"Test loss: {scores.loss / count:g}")
        scores.say("solver.cpp:414", "    Test net output #{i}: ", count)
        for watcher in self._test_watchers:
            watcher(self._iter, i, scores.means(count))

    def _answer_requests(self) -> None:
        while (request := self._request()) != NONE:
            if request == SNAPSHOT:
                self.snapshot()
            else:
                self._stopped = True

    # ---- files ---------------------------------------------------------------------------------
    def snapshot(self) -> None:
        """Write the weights and the solver's state, as snapshot_prefix and snapshot_format say.

        Raises:
            DataError: the files cannot be written.
        """
        noted = whereabouts.note([self._train, *self._tests])
        snapshots.write(self._param, self._train, self._update, self._iter, self._current_step, noted)

    def restore(self, state_file: str | os.PathLike[str]) -> None:
        """Go on from a solver state: iteration, histories, and the weights that were saved with it.

        Beyond the original: a state that freshpot wrote knows where the data were, and a new solver goes on
        there, so that training in parts gives the weights of training in one go. A state of the original's
        does not, and data start over.

        Raises:
            DataError: the state, or the weights it names, are not there.
            FormatError: a damaged file.
            ArityError, ShapeError: a state of another net or solver type.
        """
        path = os.fspath(state_file)
        state = snapshots.read(path, self._train, self._update)
        self._iter, self._current_step = state.iteration, state.current_step
        whereabouts.go_on_from(state.extra, [self._train, *self._tests], path)


class SGDSolver(Solver):
    """Stochastic gradient descent with momentum."""

    _kind = "SGD"

    @property
    def lr(self) -> float:
        """The learning rate of the next update."""
        return self._learning_rate()


class NesterovSolver(SGDSolver):
    """Nesterov's accelerated gradient."""

    _kind = "Nesterov"


class AdaGradSolver(SGDSolver):
    """AdaGrad."""

    _kind = "AdaGrad"


class RMSPropSolver(SGDSolver):
    """RMSProp."""

    _kind = "RMSProp"


class AdaDeltaSolver(SGDSolver):
    """AdaDelta."""

    _kind = "AdaDelta"


class AdamSolver(SGDSolver):
    """Adam."""

    _kind = "Adam"


_SOLVERS: dict[str, type[Solver]] = {
    cls._kind: cls
    for cls in (AdaDeltaSolver, AdaGradSolver, AdamSolver, NesterovSolver, RMSPropSolver, SGDSolver)
}


def make_solver(param: Any) -> Solver:
    """A solver of the type that its description names.

    Raises:
        ArgumentError: there is no such type.
    """
    if param.type not in _SOLVERS:
        raise ArgumentError(
            f"there is no solver type '{param.type}'. Known: {', '.join(SLOTS)}.{near_matches(param.type, _SOLVERS)}"
        )
    return _SOLVERS[param.type]._of(param)


def get_solver(solver_file: str | os.PathLike[str]) -> Solver:
    """A solver of the type that its file names."""
    return make_solver(nets.read_solver(solver_file))
