"""Bugs in features that a contract declares: each is judged under the declaration that its class carries.

The classes without a formula of their own are right; mutants replace one of their steps.
"""

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
from mhsa.oracle.formula.bias_table import buckets
from mhsa.oracle.formula.causal import own_places
from mhsa.oracle.formula.fields import BiasTable, Rotary
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
            self.relative_bias = nn.Parameter(torch.zeros(32, self.head))

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


class SeesTheNextKey(Causal):
    """A causal mask with a diagonal too many: each query sees the key after its own.

    Formula: j <= i + 1; must be j <= i
    Census: A20, P15
    """

    def seen(self, queries: int, keys: int) -> Tensor:
        """One diagonal too many."""
        return torch.ones(queries, keys, dtype=torch.bool).tril(1)


class SeesNotItself(Causal):
    """A causal mask with a diagonal too few: no query sees the key at its own place, but the first, which has no other.

    Formula: j < i; must be j <= i
    Census: A20, P15
    """

    def seen(self, queries: int, keys: int) -> Tensor:
        """One diagonal too few."""
        seen = torch.ones(queries, keys, dtype=torch.bool).tril(-1)
        seen[0, 0] = True
        return seen


class SeesLaterKeysOnly(Causal):
    """The causal mask is on the wrong side: each query sees its own place and what comes later.

    Formula: j >= i; must be j <= i
    Census: A20, P15
    """

    def seen(self, queries: int, keys: int) -> Tensor:
        """The other triangle."""
        return torch.ones(queries, keys, dtype=torch.bool).triu()


class CausalForgotten(Causal):
    """Causality is declared, and nothing is hidden.

    Formula: every j; must be j <= i
    Census: P22
    """

    def seen(self, queries: int, keys: int) -> Tensor:
        """Everything."""
        return torch.ones(queries, keys, dtype=torch.bool)


class AlignedAtTheBeginning(CausalAtTheEnd):
    """The last query is not at the last key where there are more keys than queries, as with a cache.

    Formula: j <= i; must be j <= i + Tk - Tq
    Census: lucidrains/x-transformers#187, A20
    """

    def seen(self, queries: int, keys: int) -> Tensor:
        """Aligned at the beginning."""
        return torch.ones(queries, keys, dtype=torch.bool).tril()


class AlignedAtTheEnd(Causal):
    """Queries are aligned with the last keys, where they are the first ones.

    Formula: j <= i + Tk - Tq; must be j <= i
    Census: A20
    """

    def seen(self, queries: int, keys: int) -> Tensor:
        """Aligned at the end."""
        return torch.ones(queries, keys, dtype=torch.bool).tril(keys - queries)


class CausalAfterSoftmax(Causal):
    """Later keys lose their weight after the softmax, which has counted them.

    Formula: A_ij [j <= i]; must be softmax over j <= i
    Census: A1, A20
    """

    def softmax(self, s: Tensor, mask: Tensor | None) -> Tensor:
        """Hide later keys too late."""
        seen = self.seen(s.size(-2), s.size(-1)).to(s.device)
        return Plain.softmax(self, s, mask) * seen


class CausalInTheFirstHead(Causal):
    """The causal mask reaches the first head only.

    Formula: j <= i for h = 0; must be j <= i for every h
    Census: P09, A20
    """

    def softmax(self, s: Tensor, mask: Tensor | None) -> Tensor:
        """Hide later keys from one head."""
        return torch.cat([super().softmax(s[:, :1], mask), Plain.softmax(self, s[:, 1:], mask)], dim=1)


class CausalLostUnderAMask(Causal):
    """A given mask takes the place of the causal one.

    Formula: M_ij; must be M_ij and j <= i
    Census: P22; huggingface/transformers PR#30652
    """

    def softmax(self, s: Tensor, mask: Tensor | None) -> Tensor:
        """Use one of the two masks."""
        return super().softmax(s, None) if mask is None else Plain.softmax(self, s, mask)


class WindowOneTooLong(Windowed):
    """The window counts the own key in addition to those before it.

    Formula: i - 4 <= j <= i + 1; must be i - 3 <= j <= i + 1
    Census: A20
    """

    left = 4


class WindowOneTooShort(Windowed):
    """The window counts the own key among those before it.

    Formula: i - 2 <= j <= i + 1; must be i - 3 <= j <= i + 1
    Census: A20
    """

    left = 2


class WindowWithoutItsRight(Windowed):
    """The window ends at the own key.

    Formula: i - 3 <= j <= i; must be i - 3 <= j <= i + 1
    Census: A20
    """

    right = 0


class WindowForgotten(CausalWindow):
    """The window is declared, and attention is causal only.

    Formula: j <= i + Tk - Tq; must be i + Tk - Tq - 2 <= j <= i + Tk - Tq
    Census: P22
    """

    def seen(self, queries: int, keys: int) -> Tensor:
        """Causal only."""
        return torch.ones(queries, keys, dtype=torch.bool).tril(keys - queries)


class WindowFromTheFirstKey(CausalWindow):
    """The window's left side is counted from the first key, where the last query is at the last one.

    Formula: i - 2 <= j; must be i + Tk - Tq - 2 <= j
    Census: A20
    """

    def seen(self, queries: int, keys: int) -> Tensor:
        """Align one side alone."""
        return torch.ones(queries, keys, dtype=torch.bool).tril(keys - queries).triu(-2)


class CappedAfterTheMask(Capped):
    """Scores are capped after the mask, so that a masked key has minus the cap for a score.

    Formula: 5 tanh(-inf / 5) = -5 where masked; must be minus infinity
    Census: onnx/onnx#7865
    """

    def softmax(self, s: Tensor, mask: Tensor | None) -> Tensor:
        """Mask, then cap."""
        filled = s if mask is None else s.masked_fill(self.hidden(mask), torch.finfo(s.dtype).min)
        return self.normalise(5.0 * torch.tanh(filled / 5.0))

    def scores(self, s: Tensor, q: Tensor, k: Tensor) -> Tensor:
        """Leave the cap for later."""
        return s


class ScaledAfterTheCap(Capped):
    """Scores are scaled after the cap.

    Formula: scale 5 tanh(Q K^T / 5); must be 5 tanh(scale Q K^T / 5)
    Census: P22
    """

    def scores(self, s: Tensor, q: Tensor, k: Tensor) -> Tensor:
        """Cap what is not scaled."""
        return super().scores(s / self.scale(k), q, k) * self.scale(k)


class CapForgotten(Capped):
    """The soft cap is declared, and scores are left as they are.

    Formula: s; must be 5 tanh(s / 5)
    Census: P22
    """

    def scores(self, s: Tensor, q: Tensor, k: Tensor) -> Tensor:
        """Leave them."""
        return s


class CapClamps(Capped):
    """Scores are clamped, not capped.

    Formula: min(max(s, -5), 5); must be 5 tanh(s / 5)
    Census: P22
    """

    def scores(self, s: Tensor, q: Tensor, k: Tensor) -> Tensor:
        """Clamp them."""
        return s.clamp(-5.0, 5.0)


class CapNotScaledBack(Capped):
    """The tanh is not multiplied by the cap again.

    Formula: tanh(s / 5); must be 5 tanh(s / 5)
    Census: P22
    """

    def scores(self, s: Tensor, q: Tensor, k: Tensor) -> Tensor:
        """Forget a factor."""
        return torch.tanh(s / 5.0)


class ScaledByRoot(ScaledByWidth):
    """The scale is the usual one, where another is declared.

    Formula: 1 / sqrt(d_k); must be 1 / d_k
    Census: P22
    """

    def scale(self, k: Tensor) -> float:
        """Return the usual factor."""
        return Plain.scale(self, k)


class GroupsInterleaved(Grouped):
    """Query heads read the key heads in turns.

    Formula: key head h mod kv_heads; must be h // (H / kv_heads)
    Census: HazyResearch/HipKittens PR#22
    """

    def read_by(self, h: Tensor) -> Tensor:
        """In turns."""
        return h % self.kv_heads


class GroupsOfTheirNumber(Grouped):
    """The number of groups is taken for their size, which is right only where both are the same.

    Formula: key head h // kv_heads; must be h // (H / kv_heads)
    Census: HazyResearch/HipKittens PR#22
    """

    def read_by(self, h: Tensor) -> Tensor:
        """By the wrong number."""
        return (h // self.kv_heads).clamp(max=self.kv_heads - 1)


class GroupsInterleavedForValues(Grouped):
    """Keys are repeated as they must be, values in turns.

    Formula: value head h mod kv_heads; must be h // (H / kv_heads)
    Census: HazyResearch/HipKittens PR#22
    """

    def heads(self, q: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Use two tables."""
        h = torch.arange(self.head, device=q.device)
        return q, k[:, self.read_by(h)], v[:, h % self.kv_heads]


class GroupTrainedByOneHead(Grouped):
    """In the backward pass the last head of each group alone reaches the keys that the group shares.

    Formula: dK_g = dK_h of the last h; must be the sum over the heads of the group
    Census: P16; HazyResearch/HipKittens PR#22
    """

    def heads(self, q: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Detach what the others read."""
        h = torch.arange(self.head, device=q.device)
        shared, group = self.read_by(h), self.head // self.kv_heads
        last = (h % group == group - 1)[:, None, None]
        return q, torch.where(last, k[:, shared], k[:, shared].detach()), v[:, shared]
