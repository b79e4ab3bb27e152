"""Layers of an attention for the modules of tests, which differ in how they are written and called."""

from typing import Any

from torch import nn

from mhsa.judge.verification import verify


class Layers(nn.Module):
    def __init__(self, num_heads: int, d_model: int) -> None:
        super().__init__()
        if d_model % num_heads:
            raise ValueError(f"d_model={d_model}; must be a multiple of {num_heads} heads")
        self.num_heads, self.scale = num_heads, (d_model // num_heads) ** -0.5
        self.q, self.k, self.v, self.o = (nn.Linear(d_model, d_model) for _ in range(4))

    def attend(self, query: Any, key: Any, value: Any, hide: Any = None) -> Any:
        q, k, v = (
            f(x).unflatten(-1, (self.num_heads, -1)).transpose(1, 2)
            for f, x in ((self.q, query), (self.k, key), (self.v, value))
        )
        s = q @ k.mT * self.scale
        s = s if hide is None else s.masked_fill(hide[:, None], -1e9)
        return self.o((s.softmax(-1) @ v).transpose(1, 2).flatten(2))


def fails(subject: str) -> bool:
    """Whether the output is not that of attention; that it can be judged is required."""
    found = verify(subject, dtypes="float64", properties="oracle.output_*")
    assert found.verdict in ("holds", "violated"), found
    return found.verdict == "violated"
