import os
import signal

from mhsa import MultiHeadAttention


class Dies(MultiHeadAttention):
    def forward(self, query, key, value, mask=None):
        if mask is not None and mask.shape[1] > 5:
            os.kill(os.getpid(), signal.SIGSEGV)
        return super().forward(query, key, value, mask)
