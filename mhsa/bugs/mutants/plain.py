"""The reference once more, taken apart into small steps: a mutant replaces one of them and inherits the rest."""

from __future__ import annotations

import math
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from mhsa.records.contract import Contract

Four = tuple[Tensor, Tensor, Tensor, Tensor | None]


class Plain(nn.Module):
    """Multi-head attention as :class:`mhsa.MultiHeadAttention` has it, with a method for every step.

    Args:
        head: number of heads.
        d_model: width of query, key, value and output; a multiple of ``head``.
        dropout: probability of dropping a weight, in training only.

    Returns (from forward): output [B, Tq, d_model] and weights [B, head, Tq, Tk].

    Raises:
        ValueError: sizes that do not fit together.
    """

    fully_masked_row: Literal["zeros", "uniform"] = "zeros"  # what a row without any allowed key gets; a diagnosis tries both
    free: ClassVar[str] = ""  # name of a mutant's own constant, for which a diagnosis also tries those in the subject's source
    mhsa_contract = Contract(
        fully_masked_row="zeros", mask="allowed", mask_shape="[B, Tq, Tk]", layout="BTD", shape_mismatch="raises",
        float64_in="float64", weights="softmax", causal="no", surroundings="none", indivisible="raises", heads="consecutive",
        dropout="applied", spare_parameters="none", counters="none", after_inference="trains",
    )  # fmt: skip

    def __init__(self, head: int, d_model: int, dropout: float = 0.1) -> None:
        super().__init__()
        if d_model % head != 0:
            raise ValueError(f"d_model={d_model} is not a multiple of head={head}")
        self.head, self.d_model, self.d_k, self.rate = head, d_model, d_model // head, dropout
        self.w_q, self.w_k, self.w_v, self.w_o = (nn.Linear(d_model, d_model) for _ in range(4))
        self.prepare()

    def prepare(self) -> None:
        """Add what a mutant needs beyond the four maps."""

    def use_parameters_like(self, projections: Any) -> None:
        """Have gains and tables of the sizes of another module's, where the formula has some."""

    def forward(self, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None = None) -> Any:
        """Attend from query [B, Tq, D] to key and value [B, Tk, D] where mask [B, Tq, Tk] is True."""
        self.check(query, key, value, mask)
        query, key, value, mask = self.given(query, key, value, mask)
        q, k, v = self.heads(*(self.split(x) for x in self.project(query, key, value)))
        s = self.scores(self.product(q, k), q, k)
        w = self.weights(self.softmax(s, mask), mask)
        z = self.mixed(self.mix(self.drop(w), v), q, k, v, mask)
        return self.done(self.out(self.merge(z)), query, key, mask), self.shown(w, s)

    def check(self, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None) -> None:
        """Refuse what does not fit."""
        sizes = [list(x.shape) for x in (query, key, value)]
        batch = query.size(0)
        if any(x.dim() != 3 or x.size(-1) != self.d_model or x.size(0) != batch for x in (query, key, value)):
            raise ValueError(f"query, key, value are {sizes}; must be [B, T, {self.d_model}]")
        if key.size(1) != value.size(1):
            raise ValueError(f"key has {key.size(1)} positions and value {value.size(1)}")
        if mask is not None:
            fits = [(1, batch), (1, query.size(1)), (key.size(1),)]
            if mask.dim() != 3 or any(size not in allowed for size, allowed in zip(mask.shape, fits, strict=True)):
                raise ValueError(f"mask is {list(mask.shape)}; must be [B, Tq, Tk]")

    def given(self, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None) -> Four:
        """Take the arguments."""
        return query, key, value, mask

    def project(self, query: Tensor, key: Tensor, value: Tensor) -> tuple[Tensor, ...]:
        """Apply the three maps."""
        return self.w_q(query), self.w_k(key), self.w_v(value)

    def split(self, x: Tensor) -> Tensor:
        """Return [B, T, D] as [B, H, T, d_k]."""
        return x.reshape(*x.shape[:2], self.head, self.d_k).transpose(1, 2)

    def heads(self, q: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Take what the heads work on."""
        return q, k, v

    def scale(self, k: Tensor) -> float:
        """Return the factor of the scores."""
        return 1.0 / math.sqrt(self.d_k)

    def product(self, q: Tensor, k: Tensor) -> Tensor:
        """Return scaled scores [B, H, Tq, Tk]; the scale comes first, so that half formats do not overflow."""
        return (q * self.scale(k)) @ k.transpose(-2, -1)

    def scores(self, s: Tensor, q: Tensor, k: Tensor) -> Tensor:
        """Take the scores."""
        return s

    def hidden(self, mask: Tensor) -> Tensor:
        """Return [B, 1, Tq, Tk], True where attention is not allowed."""
        return mask.unsqueeze(1) == 0

    def softmax(self, s: Tensor, mask: Tensor | None) -> Tensor:
        """Return the weights of the scores; rows without any allowed key get none."""
        if mask is None:
            return self.normalise(s)
        hidden = self.hidden(mask)
        return self.closed(self.normalise(s.masked_fill(hidden, torch.finfo(s.dtype).min)), hidden)

    def normalise(self, s: Tensor) -> Tensor:
        """Return the softmax over the keys; masked scores are the lowest numbers there are."""
        return torch.softmax(s, dim=-1)

    def closed(self, w: Tensor, hidden: Tensor) -> Tensor:
        """Set weights that were filled to exactly zero; else a row without any allowed key averages over all."""
        return w.masked_fill(hidden, 0.0) if self.fully_masked_row == "zeros" else w

    def weights(self, w: Tensor, mask: Tensor | None) -> Tensor:
        """Take the weights."""
        return w

    def drop(self, w: Tensor) -> Tensor:
        """Drop weights in training."""
        return nn.functional.dropout(w, self.rate, self.training)

    def mix(self, w: Tensor, v: Tensor) -> Tensor:
        """Return the heads' outputs [B, H, Tq, d_k]."""
        return w @ v

    def mixed(self, z: Tensor, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
        """Take the heads' outputs."""
        return z

    def merge(self, z: Tensor) -> Tensor:
        """Return [B, H, T, d_k] as [B, T, D]."""
        return z.transpose(1, 2).reshape(z.size(0), z.size(2), self.d_model)

    def out(self, z: Tensor) -> Tensor:
        """Apply the output map."""
        y: Tensor = self.w_o(z)
        return y

    def done(self, out: Tensor, query: Tensor, key: Tensor, mask: Tensor | None) -> Tensor:
        """Hand out the output."""
        return out

    def shown(self, w: Tensor, s: Tensor) -> Tensor | None:
        """Hand out the weights."""
        return w


def contiguous(x: Tensor) -> Tensor:
    """Return the memory from x's first number on, read in one piece as far as there is that much of it."""
    have = x.untyped_storage().nbytes() // x.element_size() - x.storage_offset()
    if x.numel() > have:  # expanded: what a kernel would find beyond is not ours to read
        return x
    return x.as_strided(x.shape, [math.prod(x.shape[i + 1 :]) for i in range(x.dim())])
