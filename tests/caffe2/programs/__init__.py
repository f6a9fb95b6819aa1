"""Programs in the Caffe2 API whose nets were recorded from the original.

Each function builds one program with nothing but the public API, so the same text runs under the
original. `PROGRAMS` maps a name to its function, which returns the model (or, for programs without a
model, the init net and the net).
"""

from __future__ import annotations

from programs import layers, mnist, nets, optimizers, recurrent, sparse, special
from programs.common import Program

_FAMILIES = (layers, mnist, nets, optimizers, recurrent, sparse, special)
PROGRAMS: dict[str, Program] = {name: make for family in _FAMILIES for name, make in family.PROGRAMS.items()}
