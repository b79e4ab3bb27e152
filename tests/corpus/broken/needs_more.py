from torch import nn


class MultiHeadAttention(nn.Module):
    def __init__(self, heads, dim, vocabulary):
        super().__init__()
        self.table = vocabulary.table(heads, dim)
