"""NVIDIA/Megatron-LM PR#411: the first call in eval mode sets the probability to 0 for ever."""
import torch
import torch.nn.functional as F
from torch import nn


class CoreAttention(nn.Module):
    def __init__(self, hidden_size, num_attention_heads, attention_dropout=0.1):
        super().__init__()
        assert hidden_size % num_attention_heads == 0
        self.heads, self.dropout_p = num_attention_heads, attention_dropout
        self.query, self.key, self.value, self.dense = (nn.Linear(hidden_size, hidden_size) for _ in range(4))

    def forward(self, query, key, value, mask=None):
        if not self.training:
            self.dropout_p = 0.0
        q, k, v = (f(x).unflatten(-1, (self.heads, -1)).transpose(1, 2) for f, x in ((self.query, query), (self.key, key), (self.value, value)))
        m = None if mask is None else mask.unsqueeze(1)
        z = F.scaled_dot_product_attention(q, k, v, m, self.dropout_p)
        return self.dense(z.transpose(1, 2).reshape(query.shape))
