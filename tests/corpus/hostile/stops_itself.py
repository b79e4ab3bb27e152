"""Stops itself, and waits to be continued."""
import os
import signal

from _right import Attention as Right


class Attention(Right):
    def mischief(self):
        os.kill(os.getpid(), signal.SIGSTOP)
