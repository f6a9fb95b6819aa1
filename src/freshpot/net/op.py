"""The two nouns of the IR below a net: an operator call and the device it wants.

Owned here: what one line of a net says. Who calls it: everything above (`net.net`, `engine`, the doors).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Union

if TYPE_CHECKING:
    from freshpot.net.net import Net

#: What an argument may hold. Text is ``str`` where it is UTF-8 and ``bytes`` where it is not; an
#: argument that is named but holds nothing is an empty list.
ArgValue = Union[
    int, float, str, bytes, "Net", list[int], list[float], list[str | bytes], list["Net"], object
]

CPU, CUDA = 0, 1
#: Intel's kernels for the CPU; PyTorch's own use them, so this is the CPU
IDEEP = 5


@dataclass(slots=True)
class Device:
    """Where an operator runs, field for field what Caffe2's ``DeviceOption`` says (``None``: not said).

    ``type`` is 0 or 5 for CPU and 1 for CUDA; other numbers name devices that freshpot does not have.
    ``index`` counts devices from 0, ``random_seed`` seeds the operators that draw random numbers.
    """

    type: int | None = None
    index: int | None = None
    random_seed: int | None = None
    node_name: str | None = None
    numa_node_id: int | None = None
    extra_info: list[str] = field(default_factory=list)

    @property
    def is_cuda(self) -> bool:
        """True if this names a GPU."""
        return self.type == CUDA

    def __str__(self) -> str:
        return f"cuda:{self.index or 0}" if self.is_cuda else "cpu"


@dataclass(slots=True)
class Op:
    """One operator call: a type, the blobs it reads and writes, and its arguments.

    ``args`` keeps the order in which the arguments were given; a repeated name keeps its last value.
    """

    type: str
    inputs: list[str] = field(default_factory=list)
    outputs: list[str] = field(default_factory=list)
    args: dict[str, ArgValue] = field(default_factory=dict)
    device: Device | None = None
    #: of ``engine`` and ``name``, None is not said in a file, "" is
    engine: str | None = None
    name: str | None = ""
    control_inputs: list[str] = field(default_factory=list)
    is_gradient: bool | None = None
    debug_info: str = ""
    domain: str = ""
    version: int | None = None

    def __str__(self) -> str:
        name = f" '{self.name}'" if self.name else ""
        return f"operator {self.type}{name} ({', '.join(self.inputs)}) -> ({', '.join(self.outputs)})"
