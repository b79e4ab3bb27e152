"""What its caller gives tables cannot be called at first: its maps show that it has the width that it is built with."""

import torch
from torch import Tensor, nn

from mhsa.introspect.questions import load_under
from mhsa.records.request import Request
from tests.subject.constructed import adapter


class GivenTables(nn.Module):
    def __init__(self, d_in: int, num_heads: int) -> None:
        super().__init__()
        assert d_in % num_heads == 0
        self.num_heads = num_heads
        self.W_query, self.W_key, self.W_value, self.out_proj = (nn.Linear(d_in, d_in, bias=False) for _ in range(4))

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        q, k, v = (f(x).unflatten(-1, (self.num_heads, -1)).transpose(1, 2) for f in (self.W_query, self.W_key, self.W_value))
        q, k = (y * cos + self.turned(y) * sin for y in (q, k))
        weights = (q @ k.mT / q.size(-1) ** 0.5).softmax(-1)
        return self.out_proj((weights @ v).transpose(1, 2).flatten(2))  # type: ignore[no-any-return]

    def turned(self, y: Tensor) -> Tensor:
        assert y.size(-1) % 2 == 0
        first, second = y.chunk(2, -1)
        return torch.cat((-second, first), dim=-1)


class OfOneWidth(GivenTables):
    """What it is given changes nothing."""

    def __init__(self, d_in: int, num_heads: int) -> None:
        super().__init__(20, 4)
        self.given = d_in, num_heads


def test_it_is_built_in_any_width_and_asked_about_its_rotation() -> None:
    assert adapter(GivenTables).sizes is None
    loaded = load_under(Request.of(f"{__file__}:GivenTables"))
    assert loaded.question is not None
    assert loaded.question.declaration == {"rotary": "half"}


def test_one_whose_maps_do_not_follow_has_one_size() -> None:
    assert adapter(OfOneWidth).sizes == (4, 20)
