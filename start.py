#!/usr/bin/env python3
"""Set freshpot up in .venv beside this file and run it: needs Python 3.10 or later, nothing else.

python3 start.py mnist [options]     train LeNet on MNIST, test it, show what it learned
python3 start.py test [options]      run the tests
python3 start.py COMMAND ...         any other freshpot command
"""

# This file must be readable by the Pythons that are too old for freshpot, or they print a riddle: no
# annotations, no f-strings here. The rest is in scripts/environment.py.

import os
import sys

ROOT = os.path.dirname(os.path.abspath(__file__))


def newer():  # the newest Python that is here and new enough, or the name of one
    """Look through the folders of PATH."""
    for minor in range(14, 9, -1):
        for folder in os.environ.get("PATH", "").split(os.pathsep):
            path = os.path.join(folder, "python3.%d" % minor)  # noqa: UP031
            if os.path.isfile(path):
                return path
    return "python3.12"


def main(arguments):  # the exit status
    """Set up, then run the command."""
    if sys.version_info < (3, 10):  # noqa: UP036 - see above
        version = ".".join(str(part) for part in sys.version_info[:3])
        sys.stderr.write("start.py: freshpot needs Python 3.10 or later; this is %s.\n" % version)  # noqa: UP031
        sys.stderr.write("Start it with a newer one, as in: %s start.py mnist\n" % newer())  # noqa: UP031
        return 2
    if not arguments or arguments[0] in ("-h", "--help"):
        print(__doc__.strip())
        return 0
    sys.path.insert(0, os.path.join(ROOT, "scripts"))
    import environment

    return environment.main(arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
