"""`recurrent_net`: a net for one step becomes an operator that runs it over a whole sequence.

Source: caffe2/python/recurrent.py.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from caffe2.python import core, workspace
from caffe2.python._errors import require

#: Internal blob, external blob, offset in time: what the operator ties together at each step.
Link = tuple[str, str, int]


class _BackwardStep:
    """The net for one step backwards, made from the gradients of the forward step."""

    def __init__(self, cell_net: Any, recompute: Iterable[Any]) -> None:
        self.cell = cell_net.Proto()
        outputs = list(self.cell.external_output)
        ops, grads = core.GradientRegistry.GetBackwardPass(self.cell.op, {o: o + "_grad" for o in outputs})
        self.grads = {str(blob): grad for blob, grad in grads.items()}
        self.recompute = {str(blob) for blob in recompute}
        self.net = core.Net("RecurrentBackwardStep")
        self.proto = self.net.Proto()
        self.proto.type = "simple"
        self._recompute_forward()
        self.proto.op.extend(ops)
        ssa, self.versions = core.get_ssa(self.proto)
        undefined = core.get_undefined_blobs(ssa)
        _, made = core.get_ssa(self.cell)
        needed = [b for b, version in made.items() if version > 0 and b in undefined and b not in outputs]
        self.proto.external_input.extend(needed)

    def _recompute_forward(self) -> None:
        """Put the operators first that make blobs which were not kept from the forward step."""
        for op in self.cell.op:
            if self.recompute.isdisjoint(op.output):
                continue
            others = set(op.output) - self.recompute
            require(
                not others,
                f"operator {op.type} is recomputed on the way back, and would also recompute"
                f" {', '.join(sorted(others))}: list these blobs, too.",
            )
            self.proto.op.extend([op])

    def link_state(self, cell_input: str, cell_output: str, state: str) -> list[Link]:
        """Tie the gradients of a state before and after the step to the gradients of all steps."""
        self.proto.external_input.append(cell_output + "_grad")
        grad = cell_input + "_grad"
        if not self.versions.get(grad, 0):
            grad = str(self.grads[cell_input])  # nothing writes it: the gradient is passed on as it is
        return [(cell_output + "_grad", state + "_grad", 1), (grad, state + "_grad", 0)]

    def finish(self) -> None:
        """Add to gradients that also come from outside instead of overwriting them."""
        self.proto.external_input.extend([*self.cell.external_input, *self.cell.external_output])
        external = set(self.proto.external_input)
        ops = [self._copy(op) for op in self.proto.op]
        del self.proto.op[:]
        for op in ops:
            self.proto.op.extend([op])
            added = self.proto.op[-1]
            for i, name in enumerate(op.output):
                if name in external and name not in op.input:
                    added.output[i] = name + "_accum"
                    self.net.Sum([name, name + "_accum"], [name])

    @staticmethod
    def _copy(op: Any) -> Any:
        copied = type(op)()
        copied.CopyFrom(op)
        return copied

    def arguments(
        self, references: list[Any], all_inputs: list[Any], links: list[Link], with_grads: Sequence[int]
    ) -> dict[str, Any]:
        """The operator's arguments that its gradient needs."""
        params = [p for p in references if str(p) in self.grads]
        internal, external, offset = _columns(links)
        arguments = {
            "param": [all_inputs.index(p) for p in params],
            "backward_link_internal": internal,
            "backward_link_external": external,
            "backward_link_offset": offset,
            "outputs_with_grads": with_grads,
            "recompute_blobs_on_backward": sorted(self.recompute),
            "param_grads": [str(self.grads[str(p)]) for p in params],
        }
        return {**arguments, "backward_step_net": self.proto} if self.proto.op else arguments


def _columns(links: list[Link]) -> tuple[list[str], list[str], list[int]]:
    return [x for x, _, _ in links], [x for _, x, _ in links], [x for _, _, x in links]


def recurrent_net(
    net: Any,
    cell_net: Any,
    inputs: list[tuple[Any, Any]],
    initial_cell_inputs: list[tuple[Any, Any]],
    links: dict[Any, Any],
    timestep: Any = None,
    scope: Any = None,
    outputs_with_grads: Sequence[int] = (0,),
    recompute_blobs_on_backward: Iterable[Any] | None = None,
    forward_only: bool = False,
) -> Any:
    """Add to ``net`` an operator that runs ``cell_net`` once for each step of a sequence.

    Args:
        inputs: one pair (blob of the cell, sequence); the sequence has shape (T, N, …).
        initial_cell_inputs: pairs (blob of the cell, value before the first step), one a state.
        links: state before the step -> state after it, both blobs of the cell.
        timestep: the cell's blob for the number of the step, ``timestep`` if not given.
        scope: prefix of the operator's own blobs; made up if not given.
        outputs_with_grads: positions of outputs that get gradients from outside.
        recompute_blobs_on_backward: blobs of the cell to compute again rather than keep.
        forward_only: leave the backward step out.

    Returns for each state its values at all steps and the last one: ``S_all``, ``S_last``, ….
    """
    require(len(inputs) == 1, f"recurrent_net takes one input sequence; got {len(inputs)}.")
    own_name = net.NextName("recurrent")
    prefix = own_name if scope is None else scope
    cell_net.Proto().type = "simple"
    backward = None if forward_only else _BackwardStep(cell_net, recompute_blobs_on_backward or ())
    references = _references(cell_net, inputs, initial_cell_inputs, timestep)
    all_inputs = [
        *(blob for _, blob in inputs),
        *(blob for _, blob in initial_cell_inputs),
        *references,
    ]
    forward_links: list[Link] = []
    backward_links: list[Link] = []
    aliases: list[Link] = []
    states = []
    outputs: list[Any] = []
    by_name = {str(before): after for before, after in links.items()}
    for before, _ in initial_cell_inputs:
        state, made = f"{prefix}/{before}_states", by_name[str(before)]
        states.append(state)
        outputs += [made + "_all", made + "_last"]  # a reference keeps its name, a text gets the scope's
        after = str(made)
        forward_links += [(str(before), state, 0), (after, state, 1)]
        aliases += [(state, after + "_all", 1), (state, after + "_last", -1)]
        if backward:
            backward_links += backward.link_state(str(before), after, state)
    for inside, blob in inputs:
        forward_links.append((str(inside), str(blob), 0))
        if backward:
            backward_links.append((str(backward.grads[str(inside)]), f"{blob}_grad", 0))
    arguments: dict[str, Any] = {}
    if backward:
        backward.finish()
        arguments = backward.arguments(references, all_inputs, backward_links, outputs_with_grads)
    alias_src, alias_dst, alias_offset = _columns(aliases)
    link_internal, link_external, link_offset = _columns(forward_links)
    results = net.RecurrentNetwork(
        all_inputs,
        [*outputs, f"{prefix}/step_workspaces"],
        alias_src=alias_src,
        alias_dst=alias_dst,
        alias_offset=alias_offset,
        recurrent_states=states,
        initial_recurrent_state_ids=[all_inputs.index(str(blob)) for _, blob in initial_cell_inputs],
        link_internal=link_internal,
        link_external=link_external,
        link_offset=link_offset,
        enable_rnn_executor=1,
        step_net=cell_net.Proto(),
        timestep="timestep" if timestep is None else str(timestep),
        **arguments,
    )
    return results[:-1]


def _references(cell_net: Any, inputs: Any, initial_cell_inputs: Any, timestep: Any) -> list[Any]:
    """The cell's external inputs that stay the same at every step: parameters, sequence lengths."""
    known = {str(blob) for blob, _ in inputs}
    known.update(str(blob) for pair in initial_cell_inputs for blob in pair)
    known.add(str(timestep))
    return [core.BlobReference(b) for b in cell_net.Proto().external_input if b not in known]


def set_rnn_executor_config(
    rnn_op: Any, num_threads: int | None = None, max_cuda_streams: int | None = None
) -> None:
    """Write the settings of the original's executor into a RecurrentNetwork operator.

    They are kept for the original's sake; freshpot runs the steps one after another.
    """
    require(
        rnn_op.type in ("RecurrentNetwork", "RecurrentNetworkGradient"),
        f"set_rnn_executor_config takes a recurrent network operator; got {rnn_op.type}.",
    )
    settings = {"num_threads": num_threads, "max_cuda_streams": max_cuda_streams}
    for name, value in settings.items():
        if value is not None:
            rnn_op.arg.add(name="rnn_executor." + name, i=value)


def retrieve_step_blobs(net: Any, prefix: str = "rnn") -> list[Any]:
    """Copy what recurrent operators of ``net`` kept from each step into the workspace; returns the names."""
    recurrent = [op for op in net.Proto().op if op.type == "RecurrentNetwork"]
    names: list[Any] = []
    for number, op in enumerate(recurrent, start=1):
        found = f"{prefix}_{number}"
        fetcher = core.CreateOperator("RecurrentNetworkBlobFetcher", [op.output[-1]], [found], prefix=prefix)
        workspace.RunOperatorOnce(fetcher)
        names += workspace.FetchBlob(found).tolist()
    return names
