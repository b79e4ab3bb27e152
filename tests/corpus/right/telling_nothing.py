"""Names that say nothing, a width for each of d_k and d_v, and a result (weights, output)."""

from torch import nn


class MHAttn(nn.Module):
    def __init__(self, n_head, d_model, d_k, d_v):
        super().__init__()
        self.n_head, self.d_k, self.d_v = n_head, d_k, d_v
        self.alpha = nn.Linear(d_model, n_head * d_k, bias=False)
        self.beta = nn.Linear(d_model, n_head * d_k, bias=False)
        self.gamma = nn.Linear(d_model, n_head * d_v, bias=False)
        self.delta = nn.Linear(n_head * d_v, d_model, bias=False)

    def forward(self, a, b, c, mask=None):
        n = a.size(0)
        q = self.beta(a).view(n, -1, self.n_head, self.d_k).transpose(1, 2)
        k = self.gamma(b).view(n, -1, self.n_head, self.d_k).transpose(1, 2)
        v = self.alpha(c).view(n, -1, self.n_head, self.d_v).transpose(1, 2)
        w = q.matmul(k.transpose(2, 3)).div(self.d_k**0.5)
        if mask is not None:
            w = w.masked_fill(mask.unsqueeze(1) == 0, -1e9)
        w = w.softmax(3)
        return w, self.delta(w.matmul(v).transpose(1, 2).reshape(n, a.size(1), -1))
