"""A function that fills with -inf and lets NaN out."""

import math


def attention(query, key, value, mask=None, dropout=None):
    s = query @ key.transpose(-2, -1) / math.sqrt(query.size(-1))
    if mask is not None:
        s = s.masked_fill(mask == 0, -math.inf)
    p = s.softmax(-1)
    return p @ value, p
