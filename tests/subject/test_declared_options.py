"""Options by which public code states a feature are given what the contract declares; other defaults are left, and said."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import nn

from mhsa.introspect.readings.fit import Fit
from mhsa.introspect.resolve import understand
from mhsa.records.contract import Contract
from mhsa.records.errors import Question
from mhsa.records.request import Request
from mhsa.subject.construction.declared_options import UNDECLARED, declared_option, is_off
from mhsa.subject.subject import Subject


class Attention(nn.Module):
    """Rotates the first ``rotated`` features of queries and keys by halves; a query sees ``seen`` keys, its own and earlier."""

    def make(self, d_model, heads, *, rotated=0, theta=10000.0, seen=None, scale=None, cap=None, causal=True):
        self.heads, self.d, self.rotated, self.theta = heads, d_model // heads, rotated, theta
        self.seen, self.scale, self.cap, self.causal = seen, scale or self.d**-0.5, cap, causal
        self.q, self.k, self.v, self.o = (nn.Linear(d_model, d_model) for _ in range(4))

    def turn(self, x):
        first, half = x[..., : self.rotated], self.rotated // 2
        angles = torch.arange(x.size(2), dtype=x.dtype)[:, None] / self.theta ** (
            torch.arange(0, self.rotated, 2, dtype=x.dtype) / max(self.rotated, 1)
        )
        a, b = first[..., :half], first[..., half:]
        turned = (a * angles.cos() - b * angles.sin(), b * angles.cos() + a * angles.sin())
        return torch.cat((*turned, x[..., self.rotated :]), -1)

    def forward(self, hidden_states):
        q, k, v = (f(hidden_states).unflatten(-1, (self.heads, -1)).transpose(1, 2) for f in (self.q, self.k, self.v))
        scores = self.turn(q) @ self.turn(k).mT * self.scale
        scores = scores if not self.cap else self.cap * torch.tanh(scores / self.cap)
        shown = torch.ones(scores.shape[-2:], dtype=torch.bool)
        shown = shown.tril() if self.causal else shown
        shown = shown if self.seen is None else shown.triu(1 - self.seen)
        return self.o((scores.masked_fill(~shown, -torch.inf).softmax(-1) @ v).transpose(1, 2).flatten(2))


class OfAConfig(Attention):
    def __init__(self, config):
        super().__init__()
        d = config.hidden_size // config.num_attention_heads
        self.make(
            config.hidden_size, config.num_attention_heads, rotated=round(d * config.partial_rotary_factor),
            theta=config.rotary_emb_base, seen=config.sliding_window, scale=config.query_pre_attn_scalar**-0.5,
            cap=getattr(config, "attn_logit_softcapping", None),
        )  # fmt: skip


@dataclass
class Options:
    dim: int = 32
    n_heads: int = 4
    rope_theta: float = 10000.0
    rotary_dim: int | None = None
    softmax_scale: float | None = None
    window_size: tuple[int, int] = (-1, -1)


class OfADataclass(Attention):
    def __init__(self, args: Options):
        super().__init__()
        seen = None if args.window_size[0] < 0 else args.window_size[0] + 1
        rotated = args.rotary_dim or 0
        self.make(args.dim, args.n_heads, rotated=rotated, theta=args.rope_theta, seen=seen, scale=args.softmax_scale)


class OfArguments(Attention):
    def __init__(self, d_model, num_heads, window, logit_cap=0.0, causal=False, rope_base=500.0):
        super().__init__()
        self.make(d_model, num_heads, seen=window, cap=logit_cap, causal=causal, theta=rope_base, rotated=d_model // num_heads)


class OneMore(OfArguments):
    """A query sees one key more than its window says."""

    def __init__(self, d_model, num_heads, window, logit_cap=0.0, causal=False):
        super().__init__(d_model, num_heads, window + 1, logit_cap, causal)


EVERYTHING: dict[str, Any] = {
    "causal": "top-left", "window": [3, 0], "scale": 0.22360679774997896, "softcap": 2.5,
    "rotary": {"base": 500.0, "fraction": 0.5},
}  # fmt: skip


def understood(kind: type[nn.Module], contract: Mapping[str, Any]) -> Subject:
    return understand(Request("a", "a:A", contract=dict(contract)), target=kind)


@pytest.mark.parametrize(
    ("kind", "contract"),
    [
        (OfAConfig, EVERYTHING),
        (OfAConfig, {n: x for n, x in EVERYTHING.items() if n not in ("scale", "window")}),
        (OfADataclass, {n: x for n, x in EVERYTHING.items() if n != "softcap"} | {"rotary": {"fraction": 0.5}}),
        (OfArguments, EVERYTHING | {"scale": None, "rotary": {"base": 500.0}}),
    ],
)
def test_options_are_given_what_is_declared(kind: type[nn.Module], contract: dict) -> None:
    assert Fit().without_mask(understood(kind, contract))


def test_a_window_that_is_one_too_wide_is_not_explained_away() -> None:
    contract = EVERYTHING | {"scale": None, "rotary": {"base": 500.0}}
    assert not Fit().without_mask(understood(OneMore, contract))


def test_a_default_that_says_something_else_is_left_and_said() -> None:
    subject = understood(OfArguments, {"causal": "top-left", "window": [3, 0], "rotary": {"base": 100.0}})
    assert subject.adapter.build(4, 24).theta == 500.0
    assert not Fit().without_mask(subject)
    assert any("rope_base is left at its default 500.0, where 100.0 is declared" in u.text for u in subject.understood)
    assert not any("window" in words or "causal" in words for words in subject.not_judged)


def test_what_nothing_declares_is_asked_about() -> None:
    with pytest.raises(Question, match="it seems to do") as asked:
        understood(OfAConfig, {"causal": "top-left"})
    assert asked.value.declaration == {"rotary": "half"}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("is_causal", True), ("is_decoder", True), ("rope_theta", 500.0), ("rotaryPct", 0.5), ("rotary_dim", 8),
        ("use_rope", True), ("rope_interleaved", False), ("sliding_window", 4), ("attn_logit_softcapping", 2.5),
        ("query_pre_attn_scalar", 20), ("softmax_scale", 0.22360679774997896), ("use_alibi", UNDECLARED),
        ("use_sinks", UNDECLARED), ("enable_gqa", UNDECLARED), ("dropout", UNDECLARED),
    ],
)  # fmt: skip
def test_each_name_has_its_value(name: str, value: object) -> None:
    found = declared_option(name, Contract(**EVERYTHING), 16)
    assert found == value
    assert type(found) is type(value)


def test_other_features_and_windows() -> None:
    contract = Contract(bias="alibi", sinks="learned", kv_heads=2, window=[3, 3])
    assert [declared_option(n, contract, 8) for n in ("alibi", "use_sinks", "enable_gqa")] == [True, True, True]
    assert declared_option("window_size", contract, 8, (-1, -1)) == (3, 3)
    assert declared_option("window_size", contract, 8) == 3  # on each side
    assert declared_option("softmax_one", Contract(sinks=0.0), 8) is True
    assert [is_off(x) for x in (None, False, 0.0, -1, [-1, -1], 1.0, True, "no")] == [True] * 5 + [False] * 3
