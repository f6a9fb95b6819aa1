"""A program of ours in another interpreter or process, timed from here: it waits while others have their turn.

Owned here: starting `programs/serve.py`, talking to it in lines of JSON, ending it. Who calls it: the jobs.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import subprocess
import sys
import tempfile
from typing import Any

from freshpot.bench.rows import script
from freshpot.errors import DataError

__all__ = ["Remote", "last_words", "thread_environment"]

_PATIENCE_S = 300.0


class Remote:
    """One program in a process of its own.

    Args:
        python: the interpreter.
        program: name of a module in ``programs``; its ``make(**given)`` builds what is timed.
        threads: for its arithmetic.
        original: do not let freshpot's stand-ins be found.
        given: goes to ``make``.

    Raises:
        DataError: it cannot be started, or ends; says its last words.
    """

    def __init__(
        self, python: str, program: str, *, threads: int, original: bool = True, **given: Any
    ) -> None:
        self._name = f"{program} in {python}"
        self._said = tempfile.TemporaryFile()  # noqa: SIM115 - closed by close()
        environment = thread_environment(threads)
        if original:
            environment.pop("PYTHONPATH", None)
            if python == sys.executable:  # what the user put on the path stays findable, after the rest
                environment["PYTHONPATH"] = os.environ.get("PYTHONPATH", "")
        command = [python, str(script("serve")), program, json.dumps({"threads": threads, **given})]
        try:
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._said, env=environment
            )
        except OSError as error:
            self._said.close()
            raise DataError(f"{python} cannot be started: {error.strerror or error}") from error
        try:
            #: of the package that the program uses
            self.version = str(self._answer()["version"])
        except BaseException:
            self.close()
            raise

    def time(self, calls: int) -> float:
        """Seconds of one call, the mean of ``calls`` in a row."""
        return float(self.ask(calls=calls)["seconds"])

    def ask(self, **request: Any) -> dict[str, Any]:
        """Send a request; the answer."""
        stdin = self._process.stdin
        if stdin is None or stdin.closed:
            raise DataError(f"{self._name} has ended")
        with contextlib.suppress(BrokenPipeError):
            stdin.write(json.dumps(request).encode() + b"\n")
            stdin.flush()
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        stream = self._process.stdout
        while stream is not None and select.select([stream], [], [], _PATIENCE_S)[0]:
            line = stream.readline()
            if not line:
                self._process.wait(10)
                raise DataError(f"{self._name} ended: {self._last_words()}")
            if line.startswith(b"@"):  # packages print what they like
                answer: dict[str, Any] = json.loads(line[1:])
                return answer
        raise DataError(f"{self._name} did not answer for {_PATIENCE_S:.0f} s: {self._last_words()}")

    def _last_words(self) -> str:
        self._said.seek(0)
        return last_words(self._said.read().decode("utf-8", "replace"))

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout, self._said):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()

    def __enter__(self) -> Remote:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


def thread_environment(threads: int) -> dict[str, str]:
    """The environment with the number of threads that all libraries go by."""
    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")
    return {**os.environ, **dict.fromkeys(names, str(threads))}


def last_words(text: str) -> str:
    """The last line that says something, cut short."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1][:200] if lines else "it said nothing"
