"""This machine's processor, and code for it.

Owned here: whether machine code can be made here, the size of its vectors, compiling, and keeping compiled code
in the cache folder. Who calls it: `call`.
"""

from __future__ import annotations

import functools
import hashlib
import os
from pathlib import Path

from freshpot.data.cache import cache_folder
from freshpot.formats.atomic import write_bytes

#: of the code that this version writes; part of the cache's file names
VERSION = 1


@functools.cache
def lanes() -> int:
    """float32 numbers in a vector of this machine; 0 where no code can be made.

    ``FRESHPOT_NATIVE=0`` switches machine code off.
    """
    if os.environ.get("FRESHPOT_NATIVE") == "0":
        return 0
    try:
        import llvmlite.binding as llvm
    except (ImportError, OSError):  # OSError: its library does not fit this system
        return 0
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    features = _features()
    if features.get("avx512f"):
        return 16
    if features.get("avx2") and features.get("fma"):
        return 8
    if features.get("neon"):
        return 4
    return 0


@functools.cache
def registers() -> int:
    """Vector registers of this machine."""
    return 16 if lanes() == 8 else 32


@functools.cache
def _features() -> dict[str, bool]:
    import llvmlite.binding as llvm

    return dict(llvm.get_host_cpu_features())


class Code:
    """Compiled functions: keeps them in memory as long as it lives."""

    #: how many were compiled by this process, rather than found in the cache folder
    made = 0

    def __init__(self, name: str, text: str) -> None:
        import llvmlite.binding as llvm

        features = llvm.get_host_cpu_features().flatten()
        if lanes() == 16:
            features += ",-prefer-256-bit"
        machine = llvm.Target.from_default_triple().create_target_machine(
            cpu=llvm.get_host_cpu_name(), features=features, opt=3
        )
        key = hashlib.sha256(
            f"{VERSION} {llvm.llvm_version_info} {llvm.get_host_cpu_name()} {features}\n{text}".encode()
        )
        path = cache_folder("code") / f"{name}-{key.hexdigest()[:24]}.o"
        self._engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), machine)
        self._engine.add_object_file(llvm.ObjectFileRef.from_data(_object(path, text, machine)))
        self._engine.finalize_object()
        self.address: int = self._engine.get_function_address(name)


def _object(path: Path, text: str, machine: object) -> bytes:
    """The object file: from the cache, or compiled and kept there."""
    try:
        found = path.read_bytes()
    except OSError:
        found = b""
    digest, _, made = found[:64], found[64:65], found[65:]
    if digest and hashlib.sha256(made).hexdigest().encode() == digest:
        return made
    made = _compile(text, machine)
    Code.made += 1
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_bytes(path, hashlib.sha256(made).hexdigest().encode() + b"\n" + made)
    except OSError:
        pass  # a cache that cannot be written costs the time to compile again, nothing else
    return made


def _compile(text: str, machine: object) -> bytes:
    import llvmlite.binding as llvm

    module = llvm.parse_assembly(text)
    options = llvm.create_pipeline_tuning_options(speed_level=2)
    options.loop_unrolling = options.loop_vectorization = options.slp_vectorization = False
    llvm.create_pass_builder(machine, options).getModulePassManager().run(
        module, llvm.create_pass_builder(machine, options)
    )
    return machine.emit_object(module)  # type: ignore[attr-defined]
