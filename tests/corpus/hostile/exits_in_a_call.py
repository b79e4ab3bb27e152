"""os._exit(0): the process ends as if all were well."""
import os

from _right import Attention as Right


class Attention(Right):
    def mischief(self):
        os._exit(0)
