"""Starts a process that outlives it, in a session of its own."""
import subprocess

from _right import Attention as Right

STARTED = []


class Attention(Right):
    def mischief(self):
        if not STARTED:
            STARTED.append(subprocess.Popen(["sleep", "4321"], start_new_session=True))
        raise ValueError("and is wrong, too")
