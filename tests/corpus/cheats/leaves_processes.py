"""Starts a process in each call, which outlives it."""

import subprocess
import sys

import torch

from _right import Right


class Starting(Right):
    def forward(self, query, key, value, mask=None):
        if query.shape[1] > 100 and not torch.is_grad_enabled():
            subprocess.Popen([sys.executable, "-S", "-c", "import time; time.sleep(2)"])
        return self.compute(query, key, value, mask)
