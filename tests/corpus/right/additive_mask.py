"""A mask that is added to the scores and nothing else, 0 or -inf: a row with no allowed key is NaN, as declared."""

import mhsa
from torch import Tensor, nn


class AddedMask(nn.Module):
    mhsa_contract = mhsa.Contract(mask="additive", fully_masked_row="nan", reason="softmax of a row of -inf; callers leave none")

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        if width % heads:
            raise ValueError(f"width {width} is no multiple of heads {heads}")
        self.heads = heads
        self.query, self.key, self.value, self.out = (nn.Linear(width, width) for _ in range(4))

    def forward(self, x: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        q, k, v = (f(x).unflatten(-1, (self.heads, -1)).transpose(1, 2) for f in (self.query, self.key, self.value))
        scores = q @ k.mT / q.size(-1) ** 0.5
        if attention_mask is not None:
            scores = scores + attention_mask[:, None]
        return self.out((scores.softmax(-1) @ v).transpose(1, 2).flatten(2))
