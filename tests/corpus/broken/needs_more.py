from torch import nn


class MultiHeadAttention(nn.Module):
    def __init__(self, heads, dim, vocabulary):
        super().__init__()
