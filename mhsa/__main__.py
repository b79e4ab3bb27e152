"""``python -m mhsa``."""

import sys

from mhsa.cli import main

sys.exit(main())
