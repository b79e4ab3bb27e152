"""An option under which the source hides with a triangle is a switch of causality, whatever it is called."""

import pytest
import torch
from torch import nn

from mhsa.introspect.resolve import understand
from mhsa.judge.verification import verify


class OneWay(nn.Module):
    """Self-attention that may hide what is to the right."""

    first = 1

    def __init__(self, num_heads: int, d_model: int, one_way: bool = False) -> None:
        super().__init__()
        self.num_heads, self.only_left = num_heads, one_way
        self.qkv, self.proj = nn.Linear(d_model, 3 * d_model), nn.Linear(d_model, d_model)

    def forward(self, x):
        q, k, v = (t.unflatten(-1, (self.num_heads, -1)).transpose(1, 2) for t in self.qkv(x).chunk(3, dim=-1))
        scores = q @ k.mT / q.size(-1) ** 0.5
        if self.only_left:
            scores = self.changed(scores)
        return self.proj((scores.softmax(-1) @ v).transpose(1, 2).flatten(2))

    def changed(self, scores):
        later = torch.ones_like(scores, dtype=torch.bool).triu(self.first)
        return scores.masked_fill(later, -torch.inf)


class Inline(OneWay):
    def forward(self, x):
        q, k, v = (t.unflatten(-1, (self.num_heads, -1)).transpose(1, 2) for t in self.qkv(x).chunk(3, dim=-1))
        scores = q @ k.mT / q.size(-1) ** 0.5
        if self.only_left:
            scores = scores.masked_fill(torch.ones_like(scores).triu(self.first) > 0, -1e9)
        return self.proj((scores.softmax(-1) @ v).transpose(1, 2).flatten(2))


class OneTooMany(Inline):
    first = 2


class InABuffer(Inline):
    def __init__(self, num_heads: int, d_model: int, one_way: bool = False) -> None:
        super().__init__(num_heads, d_model, one_way)
        self.register_buffer("seen", torch.ones(1024, 1024, dtype=torch.bool).tril(2 - self.first))

    def forward(self, x):
        q, k, v = (t.unflatten(-1, (self.num_heads, -1)).transpose(1, 2) for t in self.qkv(x).chunk(3, dim=-1))
        scores = q @ k.mT / q.size(-1) ** 0.5
        if self.only_left:
            scores = scores.masked_fill(~self.seen[: x.size(1), : x.size(1)], float("-inf"))
        return self.proj((scores.softmax(-1) @ v).transpose(1, 2).flatten(2))


class Band(Inline):
    """Under its option only near keys are seen: that is another thing."""

    def forward(self, x):
        q, k, v = (t.unflatten(-1, (self.num_heads, -1)).transpose(1, 2) for t in self.qkv(x).chunk(3, dim=-1))
        scores = q @ k.mT / q.size(-1) ** 0.5
        if self.only_left:
            near = torch.ones_like(scores).tril(1).triu(-1)
            scores = scores.masked_fill(near == 0, -1e9)
        return self.proj((scores.softmax(-1) @ v).transpose(1, 2).flatten(2))


class Distances(Inline):
    """Under its option earlier keys are weighed less."""

    def forward(self, x):
        q, k, v = (t.unflatten(-1, (self.num_heads, -1)).transpose(1, 2) for t in self.qkv(x).chunk(3, dim=-1))
        scores = q @ k.mT / q.size(-1) ** 0.5
        if self.only_left:
            at = torch.arange(x.size(1), dtype=x.dtype)
            scores = scores - (at[:, None] - at).tril()
        return self.proj((scores.softmax(-1) @ v).transpose(1, 2).flatten(2))


class Blocks(Inline):
    """Under its option pairs of tokens see each other, and all before them."""

    def forward(self, x):
        q, k, v = (t.unflatten(-1, (self.num_heads, -1)).transpose(1, 2) for t in self.qkv(x).chunk(3, dim=-1))
        scores = q @ k.mT / q.size(-1) ** 0.5
        if self.only_left:
            pairs = torch.ones(x.size(1), x.size(1)).tril().repeat_interleave(2, 0).repeat_interleave(2, 1)
            scores = scores.masked_fill(pairs[: x.size(1), : x.size(1)] == 0, -1e9)
        return self.proj((scores.softmax(-1) @ v).transpose(1, 2).flatten(2))


def _judged(name: str):
    properties = "oracle.output_without_mask"
    return verify(f"{__file__}:{name}", dtypes="float64", properties=properties, contract={"indivisible": "any"})


@pytest.mark.parametrize("name", ["Inline", "OneWay"])
def test_a_right_one_is_judged_in_both_positions(name: str) -> None:
    assert [switch.words for switch in understand(f"{__file__}:{name}").switches] == ["one_way=True"]
    assert _judged(name)


@pytest.mark.parametrize("name", ["OneTooMany", "InABuffer"])
def test_one_that_lets_a_later_key_in_is_violated(name: str) -> None:
    assert _judged(name).verdict == "violated"


@pytest.mark.parametrize("name", ["Band", "Blocks", "Distances"])
def test_what_hides_something_else_is_named_as_not_judged(name: str) -> None:
    subject = understand(f"{__file__}:{name}")
    assert not subject.switches
    assert any(words.startswith("constructor argument one_way") for words in subject.not_judged)
    assert _judged(name).verdict != "violated"
