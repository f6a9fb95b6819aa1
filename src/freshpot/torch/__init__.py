"""The PyTorch door: nets as modules, and modules as nets.

``module(net)`` gives any net as a ``torch.nn.Module``; ``capture(module, example_inputs)`` gives a module as
a net. Inside this package ``import torch`` means PyTorch: imports here are absolute.
"""

from freshpot.torch._capture import Captured, capture
from freshpot.torch._exported import FixedBatchWarning
from freshpot.torch._module import NetModule, module

__all__ = ["Captured", "FixedBatchWarning", "NetModule", "capture", "module"]
