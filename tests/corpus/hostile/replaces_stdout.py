"""Takes the output for itself."""
import io
import sys

from _right import Attention as Right


class Attention(Right):
    def mischief(self):
        sys.stdout = sys.stderr = io.StringIO()
