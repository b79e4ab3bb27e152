"""Kills every process of its group."""
import os
import signal

from _right import Attention as Right


class Attention(Right):
    def mischief(self):
        os.killpg(0, signal.SIGKILL)
