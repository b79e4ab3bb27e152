"""Bugs in features that a contract declares: each is judged under the declaration that its class carries.

The right modules, of which each replaces a step, are in ``right_formula.py``.
"""

from __future__ import annotations

import torch
from torch import Tensor

from mhsa.bugs.mutants.plain import Plain
from mhsa.bugs.mutants.right_formula import Capped, Causal, CausalAtTheEnd, CausalWindow, Grouped, ScaledByWidth, Windowed


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


class PlacesInTheDtypeOfTheData(Causal):
    """Places are compared in the dtype of the data: beyond 256 neighbours are one number in bfloat16.

    Formula: round(j) <= round(i); must be j <= i
    Census: A20
    """

    def softmax(self, s: Tensor, mask: Tensor | None) -> Tensor:
        """Compare rounded places."""
        queries, keys = (torch.arange(n, device=s.device).to(s.dtype) for n in s.shape[-2:])
        seen = keys <= queries[:, None]
        return Plain.softmax(self, s, seen.expand(s.size(0), -1, -1) if mask is None else mask & seen)


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
