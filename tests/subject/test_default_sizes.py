"""Sizes that only defaults tell: rotated features, a configuration that may be left out, one of the file, what is built."""

import sys
from types import ModuleType
from typing import Any, NamedTuple

import pytest
import torch
from torch import nn

from mhsa.introspect.readings.fit import Fit
from mhsa.introspect.resolve import understand
from mhsa.records.request import Request
from mhsa.subject.construction.built_sizes import width_of
from mhsa.subject.construction.config_source import NO_DEFAULT, configuration_source
from mhsa.subject.subject import Subject
from tests.helpers.layers import fails


class Attention(nn.Module):
    def make(self, width, heads, shared, of_head, rotated=0, seen=None, null=False):
        self.heads, self.d, self.rotated, self.seen = heads, of_head, rotated, seen
        self.q, self.k, self.v = (nn.Linear(width, n * of_head) for n in (heads, shared, shared))
        self.o = nn.Linear(heads * of_head, width)
        self.null_logit = nn.Parameter(torch.zeros(heads)) if null else None

    def turn(self, x):
        angles = torch.arange(x.size(2), dtype=x.dtype)[:, None] / 1e4 ** (
            torch.arange(0, self.rotated, 2, dtype=x.dtype) / max(self.rotated, 1)
        )
        a, b = x[..., : self.rotated : 2], x[..., 1 : self.rotated : 2]
        turned = torch.stack((a * angles.cos() - b * angles.sin(), b * angles.cos() + a * angles.sin()), -1).flatten(-2)
        return torch.cat((turned, x[..., self.rotated :]), -1)

    def forward(self, x):
        q, k, v = (f(x).unflatten(-1, (-1, self.d)).transpose(1, 2) for f in (self.q, self.k, self.v))
        q, k = (self.turn(q), self.turn(k)) if self.rotated else (q, k)
        k, v = (y.repeat_interleave(self.heads // y.size(1), 1) for y in (k, v))
        seen = torch.ones(x.size(1), x.size(1), dtype=torch.bool).tril().triu(1 - (self.seen or x.size(1)))
        s = (q @ k.mT * self.d**-0.5).masked_fill(~seen, -torch.inf)
        if self.null_logit is not None:
            s = torch.cat((s, self.null_logit.view(-1, 1, 1).expand(*s.shape[:3], 1)), -1)
        return self.o((s.softmax(-1)[..., : x.size(1)] @ v).transpose(1, 2).flatten(2))


class Rotated(Attention):
    """The default width of a head is 16, half of which is rotated."""

    def __init__(self, dim=48, n_head=3, rotary_dim=8):
        super().__init__()
        self.make(dim, n_head, n_head, dim // n_head, rotary_dim)


class Spec(NamedTuple):
    dim: int = 32
    q_heads: int = 4
    kv_heads: int = 2
    key_size: int = 8


class OfASpec(Attention):
    def __init__(self, spec: Spec | None = None):
        super().__init__()
        spec = spec or Spec()
        self.make(spec.dim, spec.q_heads, spec.kv_heads, spec.key_size, null=True)


class LocalConfig:
    def __init__(self, hidden_size=32, num_heads=4, window_size=4, attention_layers=("global", "local")):
        self.hidden_size, self.num_heads, self.window_size = hidden_size, num_heads, window_size
        self.attention_layers = list(attention_layers)


class Local(Attention):
    def __init__(self, config, layer_id=1):
        super().__init__()
        seen = config.window_size if config.attention_layers[layer_id] == "local" else None
        self.make(config.hidden_size, config.num_heads, config.num_heads, config.hidden_size // config.num_heads, seen=seen)


class Global(Local):
    def __init__(self, config, layer_id=0):
        super().__init__(config, layer_id)


class OfOneSize(Attention):
    """Of a table in the file; its ``d`` is the width of a head."""

    def __init__(self, config=None):
        super().__init__()
        config = {"width": 32, "h": 4} | (config or {})
        self.make(config["width"], config["h"], config["h"], config["width"] // config["h"])


HALF: dict[str, Any] = {"causal": "top-left", "rotary": {"layout": "interleaved", "fraction": 0.5}}
SUNK: dict[str, Any] = {"causal": "top-left", "kv_heads": "grouped", "sinks": "learned"}
LOCAL: dict[str, Any] = {"causal": "top-left", "window": [3, 0]}


def understood(kind: type[nn.Module], contract: dict[str, Any]) -> Subject:
    return understand(Request("a", "a:A", contract=contract), target=kind)


@pytest.mark.parametrize(
    ("kind", "contract"), [(Rotated, HALF), (OfASpec, SUNK), (Local, LOCAL), (OfOneSize, {"causal": "top-left"})]
)
def test_sizes_of_defaults_are_understood(kind: type[nn.Module], contract: dict[str, Any]) -> None:
    assert Fit().without_mask(understood(kind, contract))


@pytest.mark.parametrize(
    ("kind", "contract"), [(Rotated, HALF | {"rotary": {"layout": "interleaved", "fraction": 0.25}}), (Global, LOCAL)]
)
def test_what_defaults_contradict_is_not_explained_away(kind: type[nn.Module], contract: dict[str, Any]) -> None:
    assert not Fit().without_mask(understood(kind, contract))


def test_the_width_of_a_head_is_not_that_of_the_module() -> None:
    module = OfOneSize()
    assert (module.d, width_of(module)) == (8, 32)


def test_a_name_that_nothing_is_known_of_is_what_the_configuration_of_the_file_has() -> None:
    subject = understood(Local, LOCAL)
    assert any("attention_layers=['global', 'local']" in part.text for part in subject.understood)


def test_configurations_that_need_arguments_are_left(monkeypatch: pytest.MonkeyPatch) -> None:
    class NeedingConfig:
        def __init__(self, size):
            self.size = size

    class Reading:
        pass

    file = ModuleType("a_file")
    monkeypatch.setitem(sys.modules, "a_file", file)
    Reading.__module__ = NeedingConfig.__module__ = "a_file"
    file.NeedingConfig = NeedingConfig  # type: ignore[attr-defined]
    assert configuration_source(Reading, "config").default("size") is NO_DEFAULT


def test_a_configuration_that_is_defined_anew_is_read_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    class Reading:
        pass

    file = ModuleType("a_file")
    monkeypatch.setitem(sys.modules, "a_file", file)
    Reading.__module__ = "a_file"
    for size in (3, 4):
        file.OwnConfig = type("OwnConfig", (), {"size": size, "__module__": "a_file"})  # type: ignore[attr-defined]
        assert configuration_source(Reading, "config").default("size") == size


class Sliced(nn.Module):
    """Each head attends with a slice of the features; there are no maps, and tokens have any width that the heads divide."""

    def __init__(self, n_heads: int) -> None:
        super().__init__()
        self.n_heads = n_heads

    def forward(self, q, k, v):
        assert q.size(-1) % self.n_heads == 0
        q, k, v = (x.unflatten(-1, (self.n_heads, -1)).transpose(1, 2) for x in (q, k, v))
        return ((q @ k.mT / self.root(q)).softmax(-1) @ v).transpose(1, 2).flatten(2)

    def root(self, q):
        return q.size(-1) ** 0.5


class SlicedUnscaled(Sliced):
    def root(self, q):
        return 1.0


def test_without_maps_the_constructor_need_not_know_the_width() -> None:
    subject = understand(f"{__file__}:Sliced")
    assert subject.adapter.sizes is None
    assert subject.refuses is None  # a constructor that does not know the width cannot refuse one
    assert not fails(f"{__file__}:Sliced")
    assert fails(f"{__file__}:SlicedUnscaled")
