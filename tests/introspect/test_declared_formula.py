"""A subject is understood under its declared formula: maps of fewer key heads, a causal module's mask, what is printed."""

from dataclasses import replace
from pathlib import Path

import pytest

from mhsa.introspect.readings.fit import Fit
from mhsa.introspect.resolve import understand
from mhsa.records.errors import Question
from mhsa.records.request import Request
from mhsa.subject.forms.key_heads import key_heads
from mhsa.subject.generic_inputs import first_sizes
from mhsa.subject.parameter_layout import Sizes
from tests.helpers.model_file import model_file

MODEL = """
import torch
from torch import nn


class Shared(nn.Module):
    def __init__(self, dim, num_heads, num_kv_heads=None):
        super().__init__()
        self.kv = num_kv_heads or num_heads
        self.d = dim // num_heads
        self.q_proj, self.o_proj = nn.Linear(dim, dim), nn.Linear(dim, dim, bias=False)
        self.k_proj, self.v_proj = nn.Linear(dim, self.kv * self.d), nn.Linear(dim, self.kv * self.d)

    def forward(self, x):
        q, k, v = (f(x).unflatten(-1, (-1, self.d)).transpose(1, 2) for f in (self.q_proj, self.k_proj, self.v_proj))
        k, v = (y.repeat_interleave(q.size(1) // self.kv, 1) for y in (k, v))
        return self.o_proj((torch.softmax(q @ k.mT / self.d**0.5, -1) @ v).transpose(1, 2).flatten(2))


class Needed(Shared):
    def __init__(self, dim, num_heads, num_kv_heads):
        super().__init__(dim, num_heads, num_kv_heads)


class Causal(nn.Module):
    def __init__(self, dim, num_heads):
        super().__init__()
        self.h = num_heads
        self.q, self.k, self.v, self.o = (nn.Linear(dim, dim) for _ in range(4))

    def forward(self, query, key, value, mask=None):
        pairs = ((self.q, query), (self.k, key), (self.v, value))
        q, k, v = (f(x).unflatten(-1, (self.h, -1)).transpose(1, 2) for f, x in pairs)
        s = q @ k.mT / q.size(-1) ** 0.5
        seen = torch.ones(s.shape[-2:], dtype=torch.bool).tril()
        if mask is not None:
            assert mask.dim() == 4
            seen = seen & mask
        return self.o((s.masked_fill(~seen, -1e9).softmax(-1) @ v).transpose(1, 2).flatten(2))
"""


CONFIGURED = """
import torch
from torch import nn


class Base(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.h, self.kv = config.num_attention_heads, config.num_key_value_heads
        self.d = config.hidden_size // self.h
        self.make(config.hidden_size)

    def make(self, width):
        self.q_proj, self.o_proj = nn.Linear(width, width), nn.Linear(width, width)
        self.k_proj, self.v_proj = nn.Linear(width, self.kv * self.d), nn.Linear(width, self.kv * self.d)

    def maps(self, x):
        return (f(x).unflatten(-1, (-1, self.d)).transpose(1, 2) for f in (self.q_proj, self.k_proj, self.v_proj))

    def forward(self, x):
        q, k, v = self.maps(x)
        k, v = (y.repeat_interleave(self.h // self.kv, 1) for y in (k, v))
        return self.o_proj((torch.softmax(q @ k.mT / self.d**0.5, -1) @ v).transpose(1, 2).flatten(2))


class Packed(Base):
    def make(self, width):
        self.qkv_proj, self.o_proj = nn.Linear(width, width + 2 * self.kv * self.d), nn.Linear(width, width)

    def maps(self, x):
        parts = self.qkv_proj(x).split([self.h * self.d, self.kv * self.d, self.kv * self.d], -1)
        return (y.unflatten(-1, (-1, self.d)).transpose(1, 2) for y in parts)


class GroupByGroup(Packed):
    def maps(self, x):
        parts = self.qkv_proj(x).unflatten(-1, (self.kv, self.h // self.kv + 2, self.d)).movedim(1, -2).split([-2 + \
            self.h // self.kv + 2, 1, 1], 2)
        return (y.flatten(1, 2) for y in parts)


class Fixed(Packed):
    def __init__(self, dim, num_heads):
        nn.Module.__init__(self)
        self.h, self.kv, self.d = num_heads, max(num_heads // 2, 1), dim // num_heads
        self.make(dim)
"""


configured = model_file(CONFIGURED, "configured_model.py")


file = model_file(MODEL, "declared_model.py")


@pytest.mark.parametrize("name", ["Shared", "Needed"])
def test_grouped_heads_are_built_and_read(file: Path, name: str) -> None:
    subject = understand(Request("a", f"{file}:{name}", contract={"kv_heads": "grouped"}))
    for head, d_k, heads in ((4, 5, 2), (4, 4, 1), (8, 1, 2), (3, 5, 1), (1, 4, 1)):
        module = subject.adapter.build(head, head * d_k)
        views = dict(subject.bind(module, Sizes(head, d_k)).views())
        assert views["query.weight"].shape == (head * d_k, head * d_k)
        assert views["key.weight"].shape == views["value.weight"].shape == (heads * d_k, head * d_k)
        assert views["key.bias"].shape == (heads * d_k,)
    assert any("grouped keys and values" in text for topic, text in subject.notes if topic == "formula")


@pytest.mark.parametrize("name", ["Base", "Packed", "GroupByGroup"])
def test_a_configuration_says_how_many_heads_share(configured: Path, name: str) -> None:
    """The maps are read in every size, packed or not, and give the oracle's numbers."""
    subject = understand(Request("a", f"{configured}:{name}", contract={"kv_heads": "grouped"}))
    assert subject.adapter.build(4, 20).kv == 2
    for head, d_k, heads in ((4, 5, 2), (8, 1, 2), (6, 4, 3), (1, 4, 1)):
        module = subject.adapter.build(head, head * d_k)
        views = dict(subject.bind(module, Sizes(head, d_k)).views())
        assert views["key.weight"].shape == views["value.weight"].shape == (heads * d_k, head * d_k)
        assert views["query.bias"].shape == (head * d_k,)
    assert Fit().without_mask(subject)


def test_undeclared_a_configuration_has_as_many_heads(configured: Path) -> None:
    assert understand(Request("a", f"{configured}:Packed")).adapter.build(4, 20).kv == 4


def test_fewer_heads_that_nothing_declares_are_asked_about(configured: Path) -> None:
    with pytest.raises(Question, match="2 times as narrow") as asked:
        understand(Request("a", f"{configured}:Fixed"))
    assert asked.value.declaration == {"kv_heads": "grouped"}
    assert Fit().without_mask(understand(Request("a", f"{configured}:Fixed", contract={"kv_heads": "grouped"})))


@pytest.mark.parametrize("name", ["Shared", "Needed"])
def test_undeclared_heads_are_as_many_as_queries_have(file: Path, name: str) -> None:
    subject = understand(Request("a", f"{file}:{name}"))
    assert subject.adapter.build(4, 20).k_proj.weight.shape == (20, 20)
    assert not any(topic == "formula" for topic, _ in subject.notes)


def test_the_form_of_a_causal_modules_mask_is_found(file: Path) -> None:
    subject = understand(Request("a", f"{file}:Causal", contract={"causal": "top-left"}))
    assert subject.contract.mask_shape == "[B, 1, Tq, Tk]"
    assert any("query i sees keys 0 to i" in text for topic, text in subject.notes if topic == "formula")


@pytest.mark.parametrize("rotary", [None, "half", {"fraction": 0.5}, {"fraction": 0.25}])
def test_several_key_heads_are_shared_in_the_sizes_in_which_maps_are_read(configured: Path, rotary: object) -> None:
    """With one key head a map packed group after group looks like one that holds queries, keys and values in a row."""
    adapter = understand(Request("a", f"{configured}:Packed", contract={"kv_heads": "grouped"})).adapter
    adapter.contract = replace(adapter.contract, rotary=rotary)  # type: ignore[arg-type]
    sizes = first_sizes(adapter)
    assert key_heads("grouped", sizes.head, sizes.d_k) == 2
