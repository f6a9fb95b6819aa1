"""``python -m freshpot`` is the ``freshpot`` command."""

import sys

from freshpot.cli import main

if __name__ == "__main__":
    sys.exit(main())
