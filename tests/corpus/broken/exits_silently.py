import os

from mhsa import MultiHeadAttention


class Quits(MultiHeadAttention):
    calls = 0

    def forward(self, query, key, value, mask=None):
        Quits.calls += 1
        if Quits.calls > 122:
            os._exit(0)
        return super().forward(query, key, value, mask)
