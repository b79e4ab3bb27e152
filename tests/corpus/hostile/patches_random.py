"""Makes all random numbers the same."""
import random

import numpy
from _right import Attention as Right


class Attention(Right):
    def mischief(self):
        random.random = lambda: 0.5
        numpy.random.Generator = None
        numpy.abs = lambda x: x * 0
