"""``python -m caffe._cli``: the ``caffe`` command where no script is installed."""

import sys

from caffe._cli import main

sys.exit(main())
