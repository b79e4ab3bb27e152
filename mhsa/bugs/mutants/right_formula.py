"""Right modules of features that a contract declares: a bug of such a feature replaces one of their steps."""

from __future__ import annotations

import functools
import math
from dataclasses import fields, replace
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from mhsa.bugs.mutants.declared.given_bias import Biased
from mhsa.bugs.mutants.declared.normed import Normed
from mhsa.bugs.mutants.plain import Plain
from mhsa.oracle.formula import alibi
from mhsa.oracle.formula.bias_fields import BiasTable
from mhsa.oracle.formula.bias_table import buckets, usual_count
from mhsa.oracle.formula.causal import own_places
from mhsa.oracle.formula.fields import Rotary
from mhsa.oracle.formula.formula import PLAIN, Formula


class Causal(Plain):
    """Causal attention, query i at key i."""

    mhsa_contract = replace(Plain.mhsa_contract, causal="top-left")

    def seen(self, queries: int, keys: int) -> Tensor:
        """Return [Tq, Tk], True where the query sees the key."""
        return torch.ones(queries, keys, dtype=torch.bool).tril()

    def softmax(self, s: Tensor, mask: Tensor | None) -> Tensor:
        """Return the weights over what both the given mask and the places allow."""
        seen = self.seen(s.size(-2), s.size(-1)).to(s.device)[None]
        return super().softmax(s, seen if mask is None else seen & (mask != 0))


class CausalAtTheEnd(Causal):
    """Causal attention, the last query at the last key."""

    mhsa_contract = replace(Plain.mhsa_contract, causal="bottom-right")

    def seen(self, queries: int, keys: int) -> Tensor:
        """Return [Tq, Tk], True where the query sees the key."""
        return torch.ones(queries, keys, dtype=torch.bool).tril(keys - queries)


class Windowed(Causal):
    """A window of three keys before and one after the own place."""

    mhsa_contract = replace(Plain.mhsa_contract, window=(3, 1))
    left, right = 3, 1

    def seen(self, queries: int, keys: int) -> Tensor:
        """Return [Tq, Tk], True where the query sees the key."""
        return torch.ones(queries, keys, dtype=torch.bool).tril(self.right).triu(-self.left)


class CausalWindow(Windowed):
    """A window of two keys before the own place and none after it, the last query at the last key."""

    mhsa_contract = replace(Plain.mhsa_contract, causal="bottom-right", window=(2, -1))

    def seen(self, queries: int, keys: int) -> Tensor:
        """Return [Tq, Tk], True where the query sees the key."""
        return torch.ones(queries, keys, dtype=torch.bool).tril(keys - queries).triu(keys - queries - 2)


class Capped(Plain):
    """Scores are capped at 5 before the mask."""

    mhsa_contract = replace(Plain.mhsa_contract, softcap=5.0)

    def scores(self, s: Tensor, q: Tensor, k: Tensor) -> Tensor:
        """Cap them."""
        return 5.0 * torch.tanh(s / 5.0)


class ScaledByWidth(Plain):
    """The scale is 1 / d_k."""

    mhsa_contract = replace(Plain.mhsa_contract, scale="1/d_k")

    def scale(self, k: Tensor) -> float:
        """Return the factor of the scores."""
        return 1.0 / self.d_k


class Grouped(Plain):
    """Query heads next to each other share a head of keys and values."""

    mhsa_contract = replace(Plain.mhsa_contract, kv_heads="grouped")

    def __init__(self, head: int, d_model: int, dropout: float = 0.1, kv_heads: int | None = None) -> None:
        self.kv_heads = kv_heads or head
        super().__init__(head, d_model, dropout)

    def prepare(self) -> None:
        """Make the smaller maps."""
        self.w_k, self.w_v = (nn.Linear(self.d_model, self.kv_heads * self.d_k) for _ in range(2))

    def split(self, x: Tensor) -> Tensor:
        """Return [B, T, heads * d_k] as [B, heads, T, d_k]."""
        return x.unflatten(-1, (-1, self.d_k)).transpose(1, 2)

    def read_by(self, h: Tensor) -> Tensor:
        """Return the key head that each query head reads."""
        return h // (self.head // self.kv_heads)

    def heads(self, q: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Give each query head its keys and values."""
        shared = self.read_by(torch.arange(self.head, device=q.device))
        return q, k[:, shared], v[:, shared]


class Declared(Normed, Biased, Causal, Grouped):
    """Any formula, done right: what a diagnosis compares with."""

    formula: ClassVar[Formula] = PLAIN
    used: ClassVar[Rotary | None] = None  # by a mutant, in the place of what is declared

    def heads(self, q: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Normalise and rotate queries and keys, then give each query head its keys and values."""
        norm = self.norm
        if norm is not None and norm.place == "before-rotary":
            q, k = self.normed(q, "query"), self.normed(k, "key")
        if self.formula.rotary is not None:
            first = k.size(-2) - q.size(-2) if self.formula.causal == "bottom-right" else 0
            of_queries, of_keys = (torch.arange(x.size(-2), device=x.device) + self.formula.rotary.offset for x in (q, k))
            q, k = self.turned(q, of_queries + first, "query"), self.turned(k, of_keys, "key")
        if norm is not None and norm.place == "after-rotary":
            q, k = self.normed(q, "query"), self.normed(k, "key")
        return super().heads(q, k, v)

    def forward(self, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None = None, bias: Tensor | None = None) -> Any:
        """Attend; return the log-sum-exp, too, where it is declared."""
        answer = super().forward(query, key, value, mask, bias)
        return answer if self.formula.lse is None else (*answer, self.summed)

    def turned(self, x: Tensor, places: Tensor, which: str) -> Tensor:
        """Return x [..., T, d_k] rotated at its places [T]."""
        rotary = self.used or self.formula.rotary
        assert rotary is not None
        width, half = rotary.width(x.size(-1)), rotary.layout == "half"
        t = x.dtype if rotary.tables == "dtype" else torch.promote_types(x.dtype, torch.float32)
        angles = places.to(t)[:, None] * self.frequencies(width, t).to(x.device)
        cos, sin = angles.cos().to(x.dtype), angles.sin().to(x.dtype)
        part, rest = x[..., :width], x[..., width:]
        a, b = part.chunk(2, -1) if half else (part[..., ::2], part[..., 1::2])
        p, q = self.other(a, b)
        a, b = a * cos + p * sin, b * cos + q * sin
        return torch.cat([*((a, b) if half else (torch.stack([a, b], -1).flatten(-2),)), rest], -1)

    def other(self, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
        """Return what the sine is multiplied with."""
        return -b, a

    def frequencies(self, width: int, dtype: torch.dtype) -> Tensor:
        """Return the frequency of each pair."""
        rotary = self.used or self.formula.rotary
        assert rotary is not None
        return 1.0 / rotary.base ** (torch.arange(0, width, 2, dtype=dtype) / width)

    def scale(self, k: Tensor) -> float:
        """Return the factor of the scores."""
        return self.formula.factor(self.d_k)

    def scores(self, s: Tensor, q: Tensor, k: Tensor) -> Tensor:
        """Cap them, where a bias comes later."""
        return s if self.formula.caps_bias else self.capped(s)

    def capped(self, s: Tensor) -> Tensor:
        """Cap scores."""
        cap = self.formula.softcap
        return s if cap is None else cap * torch.tanh(s / cap)

    def prepare(self) -> None:
        """Make the smaller maps, and learned sinks."""
        super().prepare()
        if self.formula.sinks == "learned":
            self.sinks = nn.Parameter(torch.zeros(self.head))
        if isinstance(self.formula.bias, BiasTable):
            self.relative_bias = nn.Parameter(torch.zeros(usual_count(self.formula.bias), self.head))

    def use_parameters_like(self, projections: Any) -> None:
        """Have gains and a table of the sizes of another module's."""
        super().use_parameters_like(projections)
        if projections.table is not None:
            self.relative_bias = nn.Parameter(torch.zeros(projections.table.shape))

    def softmax(self, s: Tensor, mask: Tensor | None) -> Tensor:
        """Let a sink take part."""
        if self.formula.lse is not None:
            self.summed = self.log_sum_exp(s, mask)
        if self.formula.sinks is None:
            return super().softmax(s, mask)
        seen = self.seen(s.size(-2), s.size(-1)).to(s.device)[None]
        s = s.masked_fill(~(seen if mask is None else seen & (mask != 0))[:, None], -torch.inf)
        return torch.cat([s, self.sink(s)], -1).softmax(-1)[..., :-1]

    def log_sum_exp(self, s: Tensor, mask: Tensor | None) -> Tensor:
        """Return the logarithm of each row's sum, the sink's included."""
        seen = self.seen(s.size(-2), s.size(-1)).to(s.device)[None]
        s = s.masked_fill(~(seen if mask is None else seen & (mask != 0))[:, None], -torch.inf)
        if self.formula.sinks is not None:
            s = torch.cat([s, self.sink(s)], -1)
        return torch.logsumexp(s, -1) / (math.log(2.0) if self.formula.lse == "base-2" else 1.0)

    def sink(self, s: Tensor) -> Tensor:
        """Return the sink of each row [B, H, Tq, 1]."""
        number = self.formula.sinks
        sink = self.sinks if number == "learned" else torch.full((self.head,), float(number or 0.0), dtype=s.dtype)
        return sink.view(-1, 1, 1).to(s).expand(*s.shape[:3], 1)

    def with_bias(self, s: Tensor, bias: Tensor | None, mask: Tensor | None) -> Tensor:
        """Add the bias, and cap what is to be capped with it."""
        s = super().with_bias(s, bias, mask)
        if isinstance(self.formula.bias, BiasTable):
            rule, _ = buckets(self.formula.bias, self.formula.causal, (s.size(-2), s.size(-1)), len(self.relative_bias))
            s = s + self.relative_bias[torch.from_numpy(rule).to(s.device)].permute(2, 0, 1)
        elif self.formula.distant:
            s = s - self.taken(s)
        return self.capped(s) if self.formula.caps_bias else s

    def taken(self, s: Tensor) -> Tensor:
        """Return what ALiBi takes off the scores."""
        own = torch.from_numpy(self.own(s.size(-2), s.size(-1))).to(s)
        distance = (torch.arange(s.size(-1)).to(s) - own[:, None]).abs()
        return torch.from_numpy(self.slopes()).to(s)[:, None, None] * distance

    def slopes(self) -> NDArray[np.float64]:
        """Return a slope for each head."""
        return alibi.slopes(self.head, self.formula.bias)

    def own(self, queries: int, keys: int) -> NDArray[np.int_]:
        """Return the place of each query among the keys."""
        return own_places(self.formula.causal, queries, keys)

    def seen(self, queries: int, keys: int) -> Tensor:
        """Return [Tq, Tk], True where the query sees the key."""
        seen = self.formula.visible(queries, keys)
        return torch.ones(queries, keys, dtype=torch.bool) if seen is None else torch.from_numpy(seen)


@functools.cache
def right_under(formula: Formula) -> type[Plain]:
    """Return the class of right modules of a formula."""
    contract = replace(Plain.mhsa_contract, **{f.name: getattr(formula, f.name) for f in fields(Formula)})
    return Plain if formula == PLAIN else type("Declared", (Declared,), {"formula": formula, "mhsa_contract": contract})
