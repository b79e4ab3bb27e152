"""Does not let Python end, and is right."""
import atexit
import time

from _right import Attention as Right

atexit.register(time.sleep, 4321)


class Attention(Right):
    pass
