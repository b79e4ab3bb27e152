"""Leaves a thread running that Python waits for in the end."""
import threading
import time

from _right import Attention as Right

STARTED = []


class Attention(Right):
    def mischief(self):
        if not STARTED:
            STARTED.append(threading.Thread(target=time.sleep, args=(4321,)))
            STARTED[0].start()
