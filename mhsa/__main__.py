"""``python -m mhsa``."""

import sys

from mhsa.commands.cli import main

sys.exit(main())
