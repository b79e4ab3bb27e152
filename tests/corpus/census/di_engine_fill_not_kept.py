"""opendilab/DI-engine#333: masked_fill without the underscore, its result dropped."""
import math
import torch
from torch import nn


class Attention(nn.Module):
    def __init__(self, input_dim, head_num):
        super().__init__()
        assert input_dim % head_num == 0
        self.head_num = head_num
        self.attention_pre = nn.Linear(input_dim, input_dim * 3)
        self.project = nn.Linear(input_dim, input_dim)

    def forward(self, x, mask=None):
        b, n, d = x.shape
        q, k, v = self.attention_pre(x).view(b, n, 3, self.head_num, -1).permute(2, 0, 3, 1, 4)
        score = torch.matmul(q, k.transpose(2, 3)) / math.sqrt(d // self.head_num)
        if mask is not None:
            score.masked_fill(~mask.unsqueeze(1), -1e9)
        return self.project(torch.matmul(score.softmax(-1), v).permute(0, 2, 1, 3).reshape(b, n, d))
