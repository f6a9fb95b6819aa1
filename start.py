#!/usr/bin/env python3
"""Set freshpot up in .venv beside this file and run it: needs Python 3.10 or later, nothing else.

python3 start.py mnist [options]     train LeNet on MNIST, test it, show what it learned
python3 start.py test [options]      run the tests
python3 start.py COMMAND …           any other freshpot command
"""

import hashlib
import os
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"
BIN = VENV / ("Scripts" if os.name == "nt" else "bin")
PYTHON = BIN / ("python.exe" if os.name == "nt" else "python")


def set_up(extra: str) -> None:
    """Make .venv and install freshpot into it, unless that was done for this very pyproject.toml."""
    wanted = hashlib.sha256((ROOT / "pyproject.toml").read_bytes()).hexdigest() + extra
    stamp = VENV / "freshpot-installed"
    if stamp.exists() and stamp.read_text() in (wanted, wanted.removesuffix(extra) + "[dev]"):
        return
    print("freshpot: setting up .venv (once; PyTorch is a large download) …", file=sys.stderr, flush=True)
    try:
        venv.create(VENV, with_pip=True)
    except subprocess.CalledProcessError:
        sys.exit(
            "start.py: this Python cannot make a virtual environment with pip in it.\n"
            "On Debian and Ubuntu: sudo apt-get install python3-venv; then run this again."
        )
    command = [
        PYTHON,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "-e",
        f"{ROOT}{extra}",
    ]
    if subprocess.call(list(map(str, command))) != 0:
        sys.exit("start.py: installing freshpot's dependencies failed; pip's message above says why.")
    stamp.write_text(wanted)


def main(arguments: list[str]) -> int:
    """Set up, then run the command."""
    if sys.version_info < (3, 10):  # noqa: UP036 - this file must speak before anything is installed
        sys.exit(f"start.py: freshpot needs Python 3.10 or later; this is {sys.version.split()[0]}.")
    if not arguments or arguments[0] in ("-h", "--help"):
        print(__doc__.strip())
        return 0
    testing = arguments[0] == "test"
    set_up("[dev]" if testing else "")
    module = ["pytest", *arguments[1:]] if testing else ["freshpot", *arguments]
    try:
        return subprocess.call([str(PYTHON), "-m", *module], cwd=ROOT if testing else None)
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
