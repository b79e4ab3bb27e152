from torch import nn


class AttentionBlock(nn.Module):
    def __init__(self, embed_dim, num_heads):
        super().__init__()
        assert embed_dim % num_heads == 0
        self.num_heads = num_heads
        self.Wq, self.Wk, self.Wv, self.Wo = (nn.Linear(embed_dim, embed_dim) for _ in range(4))

    def forward(self, query, key, value, mask=None):
        B, T, D = query.shape
        f = lambda t: t.view(B, -1, self.num_heads, D // self.num_heads).transpose(1, 2)
        q, k, v = f(self.Wq(query)), f(self.Wk(key)), f(self.Wv(value))
        s = q @ k.transpose(2, 3) / (D // self.num_heads) ** 0.5
        if mask is not None:
            s = s.masked_fill(mask[:, None] == 0, -1e9)
        w = s.softmax(-1)
        return {"output": self.Wo((w @ v).transpose(1, 2).reshape(B, T, D)), "attention": w}
