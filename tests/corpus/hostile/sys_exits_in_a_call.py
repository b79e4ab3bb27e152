"""sys.exit(0) in forward."""
import sys

from _right import Attention as Right


class Attention(Right):
    def mischief(self):
        sys.exit(0)
