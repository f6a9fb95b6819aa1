"""Runs one program of this folder for another process: ``python serve.py PROGRAM JSON``.

Each line of JSON on stdin is a request: ``{"calls": n}`` runs the program's work n times and answers with the
seconds of one; ``{"memory": true}`` answers with the peak memory so far, in bytes. Answers begin with ``@``.
"""

import importlib
import json
import os
import sys
import time


def answer(**values):
    """Write one answer."""
    sys.stdout.write("@" + json.dumps(values) + "\n")
    sys.stdout.flush()


def peak():
    """The most memory that this process ever had, in bytes."""
    try:
        with open("/proc/self/status") as file:  # getrusage would count what the parent had when it forked
            found = [line.split()[1] for line in file if line.startswith("VmHWM:")]
        if found:
            return 1024 * int(found[0])
    except OSError:
        pass
    import resource

    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else 1024 * most


def main():
    """Make, then answer until stdin ends."""
    sys.path[:] = [*sys.path[1:], os.path.dirname(os.path.dirname(os.path.abspath(__file__)))]
    given = json.loads(sys.argv[2])
    program = importlib.import_module("programs." + sys.argv[1])
    if hasattr(program, "load"):
        program.load()
    imported = peak()
    work = program.make(**given)
    answer(version=program.version(), imported=imported)
    for line in sys.stdin:
        request = json.loads(line)
        if request.get("memory"):
            answer(peak=peak(), imported=imported)
            continue
        start = time.perf_counter()
        for _ in range(request["calls"]):
            work()
        answer(seconds=(time.perf_counter() - start) / request["calls"])


if __name__ == "__main__":
    main()
