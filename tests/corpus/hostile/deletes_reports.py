"""Removes every file of the run that it can find, and the report whose path it is given."""
import os
import shutil
import sys
from pathlib import Path

from _right import Attention as Right


class Attention(Right):
    def mischief(self):
        for word in sys.argv:
            if "mhsa-" in word and Path(word).exists() and "properties" not in word:
                shutil.rmtree(Path(word).parent, ignore_errors=True)
        if "REPORT" in os.environ:
            Path(os.environ["REPORT"]).unlink(missing_ok=True)
        raise ValueError("and is wrong, too")
