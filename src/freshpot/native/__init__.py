"""Machine code for the few kernels that ATen lacks: written here, compiled on the user's machine by llvmlite.

Where it cannot be made (another processor, no llvmlite, ``FRESHPOT_NATIVE=0``), operators use ATen alone.
"""
