"""One layer for queries, keys and values of a causal module: how it is packed shows in what the last query is given."""

import pytest
import torch
from torch import nn

from mhsa.introspect.readings.fit import Fit
from mhsa.introspect.resolve import understand
from mhsa.records.errors import Question
from mhsa.records.request import Request
from mhsa.subject.subject import Subject


class HeadByHead(nn.Module):
    """The layer holds query, key and value of the first head, then those of the next."""

    def __init__(self, d_model, num_heads):
        super().__init__()
        self.num_heads, self.d = num_heads, d_model // num_heads
        self.query_key_value, self.dense = nn.Linear(d_model, 3 * d_model), nn.Linear(d_model, d_model)

    def maps(self, x):
        return self.query_key_value(x).unflatten(-1, (self.num_heads, 3, self.d)).transpose(1, 2).unbind(3)

    def forward(self, x):
        q, k, v = self.maps(x)
        later = torch.ones(x.size(1), x.size(1), dtype=torch.bool).triu(1)
        weights = (q @ k.mT / self.d**0.5).masked_fill(later, float("-inf")).softmax(-1)
        return self.dense((weights @ v).transpose(1, 2).flatten(2))


class GroupByGroup(HeadByHead):
    """The layer holds the queries of a group, then their key and value, then the next group."""

    def __init__(self, d_model, num_heads, num_kv_heads=2):
        super().__init__(d_model, num_heads)
        self.kv = num_kv_heads
        self.query_key_value = nn.Linear(d_model, (num_heads + 2 * num_kv_heads) * self.d)

    def maps(self, x):
        group = self.num_heads // self.kv
        q, k, v = self.query_key_value(x).unflatten(-1, (self.kv, group + 2, self.d)).split([group, 1, 1], 3)
        return (y.expand(-1, -1, -1, group, -1).flatten(2, 3).transpose(1, 2) for y in (q, k, v))


class AlwaysTwo(GroupByGroup):
    def __init__(self, d_model, num_heads):
        super().__init__(d_model, num_heads, 2 if num_heads % 2 == 0 else 1)


class Ignores(GroupByGroup):
    def __init__(self, d_model, num_heads, num_kv_heads):
        super().__init__(d_model, num_heads, num_heads)


def understood(kind: type[nn.Module], **contract: object) -> Subject:
    return understand(Request("a", "a:A", contract={"causal": "top-left", **contract}), target=kind)


@pytest.mark.parametrize(
    ("kind", "contract"),
    [(HeadByHead, {}), (GroupByGroup, {"kv_heads": 2}), (GroupByGroup, {"kv_heads": "grouped"}), (AlwaysTwo, {"kv_heads": 2})],
)
def test_the_packing_of_a_causal_module_is_found(kind: type[nn.Module], contract: dict) -> None:
    assert Fit().without_mask(understood(kind, **contract))


def test_a_number_of_key_heads_is_given_to_the_constructor() -> None:
    adapter = understood(GroupByGroup, kv_heads=2).adapter
    assert [adapter.build(head, 4 * head).kv for head in (2, 4, 6, 8)] == [2, 2, 2, 2]
    assert adapter.build(3, 12).kv == 1  # a divisor, where 2 is none


class GroupedIfTold(GroupByGroup):
    def __init__(self, d_model, num_heads, num_kv_heads=None):
        super().__init__(d_model, num_heads, num_kv_heads or num_heads)


@pytest.mark.parametrize("declared", ["grouped", 2])
def test_a_number_of_key_heads_that_is_given_is_judged(declared: str | int) -> None:
    assert understood(GroupedIfTold, kv_heads=declared).not_judged == ()


def test_the_module_must_have_the_declared_number_of_key_heads() -> None:
    with pytest.raises(Question, match="kv_heads = 4 is declared, and the module has 2 heads of keys for 4") as asked:
        understood(AlwaysTwo, kv_heads=4)
    assert asked.value.declaration == {"kv_heads": 2}
    with pytest.raises(Question, match="the constructor is given 2 of them, and the module has 4 heads of keys") as asked:
        understood(Ignores, kv_heads=2)
    assert asked.value.declaration == {}
