"""The IR: nets, operators, schemas, the registry and the gradient builder. No torch in here."""

from freshpot.net.net import Net
from freshpot.net.op import CPU, CUDA, ArgValue, Device, Op

__all__ = ["CPU", "CUDA", "ArgValue", "Device", "Net", "Op"]
