"""What the source of a constructor says of its arguments: switches, numbers of heads, parts to make, rates it refuses."""

import pytest
import torch
from torch import nn

from mhsa.introspect.resolve import understand
from mhsa.records.request import Request
from mhsa.subject.adapters.adapter import set_dropout
from mhsa.subject.construction.argument_use import use_of
from tests.helpers.layers import Layers
from tests.subject.constructed import Plain, adapter


class OneMapForTwo(Plain):
    """Keys are made by the map of the queries, unless a switch says ``False`` in so many words."""

    def __init__(self, n_heads: int, d_model: int, both_alike) -> None:
        super().__init__()
        self.prepare(n_heads, d_model)
        if both_alike is not False:
            self.maps[1] = self.maps[0]


class Parts(Plain):
    def __init__(self, hidden_size: int, n_parts: int) -> None:
        super().__init__()
        assert hidden_size % n_parts == 0
        self.width = hidden_size // n_parts
        self.prepare(n_parts, hidden_size)


class BagAttention(nn.Module):
    def forward(self, q, k, v):
        return (q @ k.mT / q.size(-1) ** 0.5).softmax(-1) @ v


class MakesItsCore(nn.Module):
    """Is given what makes the core, and makes one."""

    def __init__(self, core, d_model: int, d_queries_keys: int, d_values: int, n_heads: int) -> None:
        super().__init__()
        self.inner, self.n_heads = core(), n_heads
        self.q, self.k = (nn.Linear(d_model, d_queries_keys * n_heads) for _ in range(2))
        self.v, self.o = nn.Linear(d_model, d_values * n_heads), nn.Linear(d_values * n_heads, d_model)

    def forward(self, query, key, value):
        q, k, v = (
            f(x).unflatten(-1, (self.n_heads, -1)).transpose(1, 2) for f, x in ((self.q, query), (self.k, key), (self.v, value))
        )
        return self.o(self.inner(q, k, v).transpose(1, 2).flatten(2))


class RefusesARate(Plain):
    def __init__(self, dim: int, num_heads: int, attn_drop: float = 0.0) -> None:
        super().__init__()
        assert attn_drop == 0.0
        self.prepare(num_heads, dim)


class DropsWhatGoesIn(Layers):
    """Has a dropout of its weights, and one of queries, keys and values that is off."""

    def __init__(self, num_heads: int, d_model: int, dropout_qkv: float = 0.0) -> None:
        super().__init__(num_heads, d_model)
        self.of_inputs, self.of_weights = nn.Dropout(dropout_qkv), nn.Dropout(0.2)

    def forward(self, query, key, value):
        return self.attend(*(self.of_inputs(x) for x in (query, key, value)))


def test_a_switch_that_is_compared_with_false_is_one() -> None:
    assert use_of(OneMapForTwo, "both_alike").switch
    assert not use_of(RefusesARate, "attn_drop").switch, "a number is no switch"
    module = adapter(OneMapForTwo).build(4, 20)
    assert module.maps[1] is not module.maps[0]


def test_what_a_width_is_divided_by_is_the_number_of_heads() -> None:
    assert use_of(Parts, "n_parts").divides
    assert not use_of(Parts, "hidden_size").divides
    assert adapter(Parts).build(4, 20).count == 4


def test_what_is_called_to_make_the_core_is_given_its_class() -> None:
    assert use_of(MakesItsCore, "core").makes
    subject = understand(Request.of(f"{__file__}:MakesItsCore"))
    assert isinstance(adapter(MakesItsCore).build(4, 20).inner, BagAttention)
    assert any("core=BagAttention;" in words.text for words in subject.understood)


def test_a_rate_of_which_it_cannot_be_built_is_not_given() -> None:
    found = adapter(RefusesARate)
    assert isinstance(found.build(4, 20), RefusesARate)
    subject = understand(Request.of(f"{__file__}:RefusesARate"))
    assert "constructor argument attn_drop" in subject.not_judged


@pytest.mark.parametrize("rate", [0.1, 0.5])
def test_a_dropout_that_is_off_next_to_others_stays_off(rate: float) -> None:
    module = DropsWhatGoesIn(2, 4)
    assert set_dropout(module, rate)
    assert (module.of_inputs.p, module.of_weights.p) == (0.0, rate)
    module = nn.Sequential(nn.Dropout(0.0), nn.Dropout(0.0))
    assert set_dropout(module, rate)
    assert [part.p for part in module] == [rate, rate]


def test_what_drops_inputs_is_left_off() -> None:
    built = adapter(DropsWhatGoesIn).build_dropping(2, 4, 0.25)
    assert isinstance(built, DropsWhatGoesIn)
    assert (built.of_inputs.p, built.of_weights.p) == (0.0, 0.25)


class AsksForABias(Layers):
    """Returns weights only where a bias is given, too."""

    def forward(self, query, attn_bias=None, return_attn: bool = False):
        output = self.attend(query, query, query)
        return (output, torch.zeros(()) + attn_bias) if return_attn else output


def test_weights_are_not_asked_for_where_every_call_with_them_raises() -> None:
    subject = understand(Request("asks", f"{__file__}:AsksForABias", not_judged=("argument attn_bias",)))
    assert not subject.adapter.weights_on_request
    assert "argument return_attn" in subject.not_judged
