"""One packed projection, self-attention only."""

from torch import nn


class SelfAttention(nn.Module):
    def __init__(self, hidden_size, num_attention_heads):
        super().__init__()
        if hidden_size % num_attention_heads != 0:
            raise ValueError("hidden_size must be a multiple of num_attention_heads")
        self.num_attention_heads = num_attention_heads
        self.to_qkv = nn.Linear(hidden_size, 3 * hidden_size)
        self.to_out = nn.Sequential(nn.Linear(hidden_size, hidden_size), nn.Dropout(0.1))

    def forward(self, x, mask=None):
        b, t, c = x.shape
        h = self.num_attention_heads
        qkv = self.to_qkv(x).reshape(b, t, 3, h, c // h).permute(2, 0, 3, 1, 4)
        q, k, v = qkv.unbind(0)
        att = (q @ k.mT) / (c // h) ** 0.5
        if mask is not None:
            att = att.masked_fill(mask.unsqueeze(1).logical_not(), -1e9)
        att = att.softmax(dim=-1)
        return self.to_out((att @ v).transpose(1, 2).flatten(2))
