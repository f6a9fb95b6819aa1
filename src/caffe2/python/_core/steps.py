"""Execution steps and plans: which nets run, how often, and beside what.

Owned here: `ExecutionStep`, `Plan` and making them. Who calls it: `core`, programs. `workspace.RunPlan`
runs what they say.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from caffe2.proto import caffe2_pb2
from caffe2.python._core import naming
from caffe2.python._core.blobs import BlobReference, ScopedName
from caffe2.python._core.net import Net
from caffe2.python._errors import require

_Nets = dict[str, Any]


def get_net_name(netlike: Any) -> Any:
    """The name of a Net or NetDef; anything else is taken for a name."""
    if isinstance(netlike, Net):
        return netlike.Name()
    return netlike.name if isinstance(netlike, caffe2_pb2.NetDef) else netlike


def _keep(nets: _Nets, net: Any) -> bool:
    """Remember a net under its name; False if it was known."""
    name = get_net_name(net)
    if name not in nets:
        nets[name] = net if isinstance(net, Net) else None
        return True
    require(nets[name] is None or net is nets[name], f"two different nets have the name '{name}'.")
    return False


def _attributes(nets: _Nets, name: str) -> list[Any]:
    return [attribute for net in nets.values() for attribute in net.get_attributes(name)]


class ExecutionStep:
    """Nets to run one after the other, or substeps; how often, and until when.

    Args:
        name: its name; made up if empty.
        nets: a Net or several.
        num_iter: how often to run them.
    """

    _step_names_used: set[str] = set()

    def __init__(self, name: str | None, nets: Any = None, num_iter: int | None = None) -> None:
        self._step = caffe2_pb2.ExecutionStep(name=name or self._get_next_step_name("step"))
        self._net_dict: _Nets = {}
        self._is_used = False
        self._substeps: list[ExecutionStep] = []
        for net in [nets] if isinstance(nets, Net) else nets or ():
            if _keep(self._net_dict, net):
                self._step.network.append(get_net_name(net))
        if num_iter is not None:
            self._step.num_iter = num_iter

    @staticmethod
    def _get_next_step_name(basename: str) -> str:
        used = ExecutionStep._step_names_used
        name = naming.unused(basename, used.__contains__)
        used.add(name)
        return name

    def Name(self) -> str:
        """The step's name."""
        return self._step.name

    def __str__(self) -> str:
        return self.Name()

    def Proto(self) -> Any:
        """The ExecutionStep message itself, not a copy."""
        return self._step

    def get_net(self, name: str) -> Any:
        """The net of that name, of this step or a substep."""
        return self._net_dict[name]

    def HasNets(self) -> bool:
        """True if the step runs nets."""
        return len(self._step.network) > 0

    def HasSubsteps(self) -> bool:
        """True if the step runs steps."""
        return len(self._step.substep) > 0

    def Nets(self) -> list[Any]:
        """The nets of this step and its substeps."""
        return list(self._net_dict.values())

    def Substeps(self) -> list[ExecutionStep]:
        """The substeps."""
        return self._substeps

    def get_all_attributes(self, name: str) -> list[Any]:
        """What was kept under that name with the nets (`Net.add_attribute`)."""
        return _attributes(self._net_dict, name)

    def _notify_is_used(self) -> None:
        self._is_used = True

    def _set(self, **fields: Any) -> None:
        require(
            not self._is_used,
            f"step '{self.Name()}' is part of a plan or another step already, which copied it; "
            "change it before.",
        )
        for field, value in fields.items():
            setattr(self._step, field, value)

    _assert_can_mutate = _set

    def SetIter(self, num_iter: int) -> None:
        """How often to run."""
        self._set(num_iter=num_iter)

    def SetCreateWorkspace(self, create_workspace: bool) -> None:
        """Run in a workspace of its own, which sees the blobs of the one outside."""
        self._set(create_workspace=create_workspace)

    def SetNumConcurrentInstances(self, num_concurrent_instances: int) -> None:
        """How many copies to run at the same time."""
        self._set(num_concurrent_instances=num_concurrent_instances)

    def SetOnlyOnce(self, only_once: bool) -> None:
        """Run one round only, although the step has a should_stop_blob."""
        self._set(only_once=only_once)

    def SetShouldStopBlob(self, should_stop_blob: BlobReference) -> None:
        """Run until this bool blob is true; it is looked at after every net or substep."""
        kind = type(should_stop_blob).__name__
        require(isinstance(should_stop_blob, BlobReference), f"wants a BlobReference, got {kind}.")
        self._set(should_stop_blob=str(should_stop_blob))

    def SetConcurrentSubsteps(self, concurrent_substeps: bool) -> None:
        """Run the substeps at the same time."""
        require(not self.HasNets(), f"step '{self.Name()}' has nets, so it has no substeps.")
        self._set(concurrent_substeps=concurrent_substeps)

    def RunEveryMillis(self, interval: int) -> None:
        """Run every ``interval`` milliseconds while the other substeps run, and once after them."""
        self._step.run_every_ms = interval

    def SetReportNet(self, report_net: Any, report_interval: int) -> None:
        """A net to run every ``report_interval`` seconds beside the step. `RunEveryMillis` is the newer way."""
        self._set(report_net=get_net_name(report_net), report_interval=report_interval)
        _keep(self._net_dict, report_net)

    def AddSubstep(self, substep: Any) -> ExecutionStep:
        """Append a substep (a message is taken as it is). One that does nothing is left out."""
        self._set()
        require(not self.HasNets(), f"step '{self.Name()}' has nets, so it cannot have substeps.")
        proto = substep
        if isinstance(substep, ExecutionStep):
            substep._notify_is_used()
            if not (substep.HasNets() or substep.HasSubsteps()):
                return self
            for net in substep.Nets():
                _keep(self._net_dict, net)
            self._substeps.append(substep)
            proto = substep.Proto()
        self._step.substep.add().CopyFrom(proto)
        return self

    def AddNet(self, net: Net) -> ExecutionStep:
        """Append a net."""
        self._set()
        require(not self.HasSubsteps(), f"step '{self.Name()}' has substeps, so it cannot have nets.")
        require(isinstance(net, Net), f"AddNet wants a Net, got {type(net).__name__}.")
        _keep(self._net_dict, net)
        self._step.network.append(net.Name())
        return self

    @classmethod
    def create_from_proto(cls, step_proto: Any, net_obj_dict: _Nets, net_proto_dict: _Nets) -> ExecutionStep:
        """A step from a message; nets are looked up in ``net_obj_dict``, else made from ``net_proto_dict``."""
        require(
            bool(step_proto.network) != bool(step_proto.substep),
            f"step '{step_proto.name}' must have either nets or substeps.",
        )
        parts: list[Any] = [
            cls.create_from_proto(substep, net_obj_dict, net_proto_dict) for substep in step_proto.substep
        ]
        for name in step_proto.network:
            if name not in net_obj_dict:
                require(name in net_proto_dict, f"step '{step_proto.name}': there is no net '{name}'.")
                net_obj_dict[name] = Net(net_proto_dict[name])
            parts.append(net_obj_dict[name])
        said = {field: getattr(step_proto, field) for field in _STEP_FIELDS if step_proto.HasField(field)}
        if "should_stop_blob" in said:
            said["should_stop_blob"] = BlobReference(said["should_stop_blob"])
        return execution_step(step_proto.name, parts, **said)


_STEP_FIELDS = (
    "num_iter",
    "concurrent_substeps",
    "should_stop_blob",
    "only_once",
    "num_concurrent_instances",
    "create_workspace",
    "run_every_ms",
)


def add_nets_in_order(step: ExecutionStep, net_list: list[str]) -> None:
    """Append the names of a step's nets in the order in which they first run."""
    for substep in step.Substeps():
        add_nets_in_order(substep, net_list)
    report = [step.Proto().report_net] if step.Proto().report_net else []
    for name in (*step.Proto().network, *report):
        if name not in net_list:
            net_list.append(name)


class Plan:
    """Steps to run one after the other, with their nets.

    Args:
        name_or_step: the plan's name, or its first step, which gives its name.

    Raises:
        ValueError: neither.
    """

    def __init__(self, name_or_step: Any) -> None:
        if not isinstance(name_or_step, (str, ExecutionStep)):
            raise ValueError(f"a plan is made from a name or a step, got {type(name_or_step).__name__}.")
        self._plan = caffe2_pb2.PlanDef(name=str(name_or_step))
        self._net_dict: _Nets = {}
        self._steps: list[ExecutionStep] = []
        if isinstance(name_or_step, ExecutionStep):
            self.AddStep(name_or_step)

    def __str__(self) -> str:
        return self._plan.name

    def Proto(self) -> Any:
        """The PlanDef itself, not a copy."""
        return self._plan

    def Nets(self) -> list[Any]:
        """The nets."""
        return list(self._net_dict.values())

    def Steps(self) -> list[ExecutionStep]:
        """The steps."""
        return self._steps

    def AddNets(self, nets: Iterable[Net]) -> None:
        """Add nets that are not part of it yet."""
        for net in nets:
            if _keep(self._net_dict, net):
                require(isinstance(net, Net), f"AddNets wants Nets, got {type(net).__name__}.")
                self._plan.network.add().CopyFrom(net.Proto())

    def AddStep(self, step: ExecutionStep) -> None:
        """Append a step with its nets. One that does nothing is left out."""
        require(isinstance(step, ExecutionStep), f"AddStep wants a step, got {type(step).__name__}.")
        step._notify_is_used()
        if not (step.HasNets() or step.HasSubsteps()):
            return
        self._plan.execution_step.add().CopyFrom(step.Proto())
        self._steps.append(step)
        names: list[str] = []
        add_nets_in_order(step, names)
        self.AddNets([step.get_net(name) for name in names])

    def get_all_attributes(self, name: str) -> list[Any]:
        """What was kept under that name with the nets (`Net.add_attribute`)."""
        return _attributes(self._net_dict, name)

    @classmethod
    def create_from_proto(cls, plan_proto: Any) -> Plan:
        """A plan from a PlanDef."""
        plan = cls(plan_proto.name)
        protos = {net.name: net for net in plan_proto.network}
        require(len(protos) == len(plan_proto.network), f"plan '{plan_proto.name}' has two nets of one name.")
        nets: _Nets = {}
        for step in plan_proto.execution_step:
            plan.AddStep(ExecutionStep.create_from_proto(step, nets, protos))
        return plan


def to_execution_step(step_or_nets: Any, default_name: str | None = None) -> ExecutionStep:
    """A step of what is given: a step, a net, a net builder, or a list of these."""
    if isinstance(step_or_nets, ExecutionStep):
        return step_or_nets
    name = default_name or getattr(step_or_nets, "name", None)
    stop_blob = None
    if hasattr(step_or_nets, "_stop_blob"):  # a net builder
        stop_blob = step_or_nets._stop_blob
        step_or_nets = step_or_nets.get()
    return execution_step(name, step_or_nets, should_stop_blob=stop_blob)


def execution_step(
    default_name: str | None,
    steps_or_nets: Any,
    num_iter: int | None = None,
    report_net: Any = None,
    report_interval: int | None = None,
    concurrent_substeps: bool | None = None,
    should_stop_blob: BlobReference | None = None,
    only_once: bool | None = None,
    num_concurrent_instances: int | None = None,
    create_workspace: bool = False,
    run_every_ms: int | None = None,
) -> ExecutionStep:
    """A step.

    Args:
        default_name: its name; made up if empty.
        steps_or_nets: a step, a net, a list of steps, nets and net builders, or nothing.
        num_iter: how often to run; 1 unless ``should_stop_blob`` is given, and not together with it.
        should_stop_blob: bool blob that ends the step; looked at after every net or substep.
        concurrent_substeps: run substeps at the same time.
        only_once: run one round only, although there is a should_stop_blob.
        num_concurrent_instances: how many copies to run at the same time.
        create_workspace: run in a workspace of its own.
        run_every_ms: run every so many milliseconds beside the other substeps.
        report_net, report_interval: a net to run every so many seconds beside it.

    Raises:
        MisuseError: arguments that exclude each other.
        ValueError: not something to run.
    """
    require(should_stop_blob is None or num_iter is None, "num_iter and should_stop_blob exclude each other.")
    step = ExecutionStep(default_name)
    if should_stop_blob is not None:
        step.SetShouldStopBlob(should_stop_blob)
    else:
        step.SetIter(1 if num_iter is None else num_iter)
    if report_net is not None:
        require(report_interval is not None, "report_net wants a report_interval.")
        step.SetReportNet(report_net, report_interval or 0)
    said = {
        "only_once": only_once,
        "concurrent_substeps": concurrent_substeps,
        "num_concurrent_instances": num_concurrent_instances,
        "create_workspace": create_workspace or None,
        "run_every_ms": run_every_ms or None,
    }
    step._set(**{field: value for field, value in said.items() if value is not None})
    _add_parts(step, steps_or_nets)
    return step


def _add_parts(step: ExecutionStep, parts: Any) -> None:
    if isinstance(parts, ExecutionStep):
        step.AddSubstep(parts)
    elif isinstance(parts, Net):
        step.AddNet(parts)
    elif isinstance(parts, list):
        only_nets = all(isinstance(part, Net) for part in parts)
        for part in parts:
            if only_nets:
                step.AddNet(part)
            else:
                step.AddSubstep(to_execution_step(part))
    elif parts:
        raise ValueError(f"a step runs a net, a step, or a list of these; got {type(parts).__name__}.")


def scoped_execution_step(name: str, *args: Any, **kwargs: Any) -> ExecutionStep:
    """As `execution_step`, with the name in the name scope in force."""
    return execution_step(ScopedName(name) if name else name, *args, **kwargs)
