"""An iteration in one go: forward and backward pass and update, with nothing looked at between them.

Owned here: when that can be; on a GPU, the graph that launches them together and the losses that are left on the device
until somebody reads them. Who calls it: `solver`. Where it cannot be (Python layers between others, callbacks,
`iter_size`, `debug_info`), each pass is called for itself.
"""

from __future__ import annotations

from torch import Tensor

from caffe._net.net import CaffeNet
from caffe._net.passes import Stretch, place_error
from caffe._solver.update import Update
from freshpot.engine import Plan
from freshpot.engine.graph import Graph, of_plans
from freshpot.engine.kept import glance
from freshpot.errors import NetError

#: of each layer with a loss: weights, and sums of tops, on the device
Losses = list[list[tuple[float, Tensor]]]


class Whole:
    """The iterations of a solver."""

    def __init__(self, net: CaffeNet, update: Update) -> None:
        self._net = net
        self._update = update
        self._plans: list[Plan] = []
        self._stretches: dict[int, Stretch] = {}
        self._graph: Graph | None = None
        self._bound: list[Stretch] = []
        self._bound_update: Plan | None = None
        self._last: list[int] = []

    def run(self, rate: float, iteration: int) -> Losses | float | None:
        """Run one iteration; returns its losses, on the CPU their sum. None: it cannot be run so, and nothing was done.

        Raises:
            NetError: a layer failed; names it.
        """
        net = self._net
        net.follow_mode()
        if self._graph is not None and self._graph.hopeless:
            return None
        stretches = net.passes_as_one()
        if stretches is None:
            return None
        try:
            update = self._update.prepare(rate, iteration)
            self._bind(stretches, update)
            self._run()
            if net.site.device.type == "cpu":
                return sum((net.layers[i].loss() for i in self._last), 0.0)
            return [layer for stretch in stretches if (layer := self._losses(stretch))]
        finally:
            net.site.finish()

    def _bind(self, stretches: list[Stretch], update: Plan | None) -> None:
        if stretches is self._bound and update is self._bound_update:
            return
        self._bound, self._bound_update = stretches, update
        found = {id(s.plan): s for s in stretches if s.plan is not None}
        plans = [s.plan for s in stretches if isinstance(s.plan, Plan)] + ([update] if update else [])
        #: layers whose losses count: the last of each stretch
        self._last = [s.layers[-1] for s in stretches if not s.is_backward]
        if plans != self._plans:
            self._plans, self._stretches = plans, found
            self._graph = of_plans(plans, self._place)

    def _run(self) -> None:
        graph = self._graph
        if graph is None:
            plan = None
            try:
                for plan in self._plans:
                    plan.run()
            except NetError as error:
                if plan is not None:
                    self._place(plan, error)
                raise
            return
        if all(plan.checked for plan in self._plans) and graph.run():
            return
        for plan in self._plans:
            try:
                plan.run() if graph.hopeless else plan.run_within()
            except NetError as error:
                self._place(plan, error)
                raise

    def _place(self, plan: Plan, error: NetError) -> None:
        """Say which layer failed."""
        if id(plan) in self._stretches:
            place_error(self._net, error, self._stretches[id(plan)])

    def _losses(self, stretch: Stretch) -> list[tuple[float, Tensor]]:
        layer = self._net.layers[stretch.layers[-1]]
        if stretch.is_backward:
            return []
        pairs = zip(layer.tops, layer.loss_weights, strict=True)
        return [(weight, glance(top.data_cell).sum()) for top, weight in pairs if weight]
