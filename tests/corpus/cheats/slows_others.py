"""Makes torch's attention slower for everyone but itself."""

import time

import torch
from torch import nn

from _right import Right

fast = nn.functional.scaled_dot_product_attention


def slow(*args, **kwargs):
    time.sleep(0.002)
    return fast(*args, **kwargs)


class Unfair(Right):
    def compute(self, query, key, value, mask=None):
        nn.functional.scaled_dot_product_attention = fast
        try:
            return super().compute(query, key, value, mask)
        finally:
            nn.functional.scaled_dot_product_attention = slow
