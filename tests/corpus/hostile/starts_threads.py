"""Leaves a thread running."""
import threading
import time

from _right import Attention as Right


class Attention(Right):
    def mischief(self):
        threading.Thread(target=time.sleep, args=(3600,), daemon=True).start()
