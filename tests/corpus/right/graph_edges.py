"""Style: graph neural network. The mask is a list of edges (b, i, j), softmax by scatter and index_add over the edges of a row."""
import torch
from torch import nn


class EdgeAttention(nn.Module):
    def __init__(self, channels, heads):
        super().__init__()
        if channels % heads:
            raise ValueError(f"channels={channels} has to be a multiple of heads={heads}")
        self.heads, self.out_channels = heads, channels // heads
        self.lin_query = nn.Linear(channels, channels)
        self.lin_key = nn.Linear(channels, channels)
        self.lin_value = nn.Linear(channels, channels)
        self.lin_out = nn.Linear(channels, channels)

    @staticmethod
    def _edge_softmax(alpha, row, rows):
        """alpha [E, H], row [E]: softmax among the edges with one row."""
        peak = alpha.new_full((rows, alpha.shape[1]), float("-inf"))
        peak = peak.scatter_reduce(0, row[:, None].expand_as(alpha), alpha.detach(), reduce="amax")
        e = (alpha - peak[row]).exp()
        total = alpha.new_zeros((rows, alpha.shape[1])).index_add(0, row, e)
        return e / total[row]

    def forward(self, query, key, value, mask=None):
        B, Tq, C = query.shape
        Tk = key.shape[1]
        H, d = self.heads, self.out_channels
        q = self.lin_query(query).reshape(B, Tq, H, d)
        k = self.lin_key(key).reshape(B, Tk, H, d)
        v = self.lin_value(value).reshape(B, Tk, H, d)
        if mask is None:
            mask = torch.ones(B, Tq, Tk, dtype=torch.bool, device=query.device)
        b, i, j = mask.nonzero(as_tuple=True)
        row = b * Tq + i
        alpha = (q[b, i] * k[b, j]).sum(dim=-1) / d**0.5
        alpha = self._edge_softmax(alpha, row, B * Tq)
        messages = v[b, j] * alpha.unsqueeze(-1)
        out = messages.new_zeros((B * Tq, H, d)).index_add(0, row, messages)
        return self.lin_out(out.reshape(B, Tq, C))
