"""The reference module: multi-head attention in torch, in every dtype, with one slot for the core."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from mhsa.oracle.formula.fields import Rotary, Sinks, SoftcapOrder
from mhsa.oracle.formula.formula import Formula
from mhsa.records.contract import Contract
from mhsa.reference.core_slot import Weights, fit_slot
from mhsa.reference.declared_formula import contract_of, require_groups
from mhsa.reference.exact_core import require_alike, self_attention
from mhsa.reference.formula_slot import fit_formula
from mhsa.reference.fused_core import fused_attention
from mhsa.reference.inputs import as_allowed, refuse_sizes, split_mask, with_head_axis
from mhsa.reference.packed_linears import Packed, apply


class IndivisibleError(ValueError, AssertionError):
    """``d_model % head != 0``. An AssertionError as in the textbook, yet raised under ``python -O`` too."""


class MultiHeadAttention(nn.Module):
    """Multi-head attention: head h attends with its own d_k = d_model / head features, and W_O mixes the heads.

    Args:
        head: number of heads, at least 1.
        d_model: width of query, key, value and output; a multiple of ``head``.
        dropout: probability in [0, 1] of dropping a weight, in training only.
        attention: the one slot: any function on [B, H, T, d] called like :func:`self_attention` or like
            ``torch.nn.functional.scaled_dot_product_attention``, returning Z or (Z, A), where A may be a function that
            computes it. :func:`mhsa.fused_attention` is the fast one: the same parameters, results within the same bounds,
            no weights kept, and one projection instead of three where query, key and value are one tensor.
        causal: each query may attend to the keys up to its own place only, query i to keys 0 to i, also where Tq != Tk (True,
            "top-left"), or the last query to all keys ("bottom-right", as with a cache of earlier keys).
        window: (left, right), keys before and after the own place that are seen, -1 for all; None is all keys.
        kv_heads: number of heads of keys and values, a divisor of ``head``: query head h reads key head h // (head / kv_heads).
        rotary: queries and keys are rotated by their places: a table of ``base``, ``layout``, ``fraction`` and ``offset``
            (:class:`mhsa.Contract`), or the layout alone, "half" or "interleaved".
        scale: factor of the scores, a number or "1/d_k"; None is 1 / sqrt(d_k).
        softcap: c of c * tanh(scores / c), before the mask, and before a bias unless ``softcap_order`` is "after-bias".
        score_bias: "given": a floating mask is a bias, added to the scaled scores, where -inf hides; "alibi",
            "alibi-geometric": a slope of the head times the distance to the own place is taken off.
        sinks: one more logit takes part in the softmax and has no value: "learned" ones of each head, or a number.

    Attributes:
        linear_query, linear_key, linear_value, linear_out: ``nn.Linear(d_model, d_model)``; head h owns the
            contiguous slice ``h * d_k : (h + 1) * d_k`` of the first three's outputs and the last one's inputs.
        attn: weights [B, H, Tq, Tk] of the last call; None before it, or where the slot's function returns none. Where it
            returns a function, they are computed when they are first asked for.
        sinks: the learned logits [head]; only there where they are declared.
        mhsa_contract: what is declared beyond plain attention, which ``mhsa.verify`` reads; None where nothing is.

    Raises:
        IndivisibleError: ``d_model % head != 0`` (a ValueError and an AssertionError).
        ValueError: any other bad number or field, or a core that cannot compute what is declared.
        TypeError: an ``attention`` that cannot be called as said above.
    """

    mhsa_contract: Contract | None = None

    def __init__(
        self,
        head: int,
        d_model: int,
        dropout: float = 0.1,
        *,
        attention: Callable[..., Any] = self_attention,
        causal: bool | str = False,
        window: tuple[int, int] | None = None,
        kv_heads: int | None = None,
        rotary: Rotary | Mapping[str, Any] | str | None = None,
        scale: float | str | None = None,
        softcap: float | None = None,
        softcap_order: SoftcapOrder = "before-bias",
        score_bias: str | None = None,
        sinks: Sinks = None,
    ) -> None:
        super().__init__()
        for name, number in (("head", head), ("d_model", d_model)):
            if not isinstance(number, int) or isinstance(number, bool) or number < 1:
                raise ValueError(f"{name}={number!r}; must be an integer of at least 1")
        if d_model % head != 0:
            raise IndivisibleError(
                f"d_model={d_model} is not a multiple of head={head}: each head gets d_model / head features, "
                f"and {d_model} % {head} = {d_model % head}, but must be 0"
            )
        if not 0.0 <= dropout <= 1.0:
            raise ValueError(f"dropout={dropout!r}; must be a probability in [0, 1]")
        self.d_k = d_model // head
        self.head = head
        self.d_model = d_model
        self.kv_heads = require_groups(head, kv_heads)
        self.linear_query = nn.Linear(d_model, d_model)
        self.linear_key = nn.Linear(d_model, self.kv_heads * self.d_k)
        self.linear_value = nn.Linear(d_model, self.kv_heads * self.d_k)
        self.linear_out = nn.Linear(d_model, d_model)
        self.dropout = nn.Dropout(p=dropout)
        self.causal = causal
        self._weights: Weights = None
        contract = contract_of(
            type(self).__name__, causal=causal, window=window, kv_heads="grouped" if self.kv_heads != head else None,
            rotary=rotary, scale=scale, softcap=softcap, softcap_order=softcap_order, bias=score_bias, sinks=sinks,
        )  # fmt: skip
        self.formula = contract.formula
        if self.formula != Formula():
            self.mhsa_contract = contract
        self._is_plain = self.formula in (Formula(), Formula(causal="top-left"))
        if self._is_plain:
            self._attend = fit_slot(attention, dropout=dropout, causal=self.formula.causal != "no")
        else:
            self._attend_by = fit_formula(attention, dropout, self.formula)
            if sinks == "learned":
                self.sinks = nn.Parameter(torch.zeros(head))
        self._packs = attention is fused_attention
        self._packed: Packed | None = None
        self._pack()

    @property
    def attn(self) -> Tensor | None:
        """Weights [B, H, Tq, Tk] of the last call, after dropout; None before it, or where there are none."""
        if callable(self._weights) and not isinstance(self._weights, Tensor):
            self._weights = self._weights()
        return self._weights

    def forward(self, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None = None) -> Tensor:
        """Attend from each query to the keys its mask allows.

        Args:
            query: [B, Tq, d_model].
            key: [B, Tk, d_model].
            value: [B, Tk, d_model].
            mask: True or non-zero where the query may attend: [B, Tq, Tk] or [B, 1, Tk] (the head axis is added
                here), [Tq, Tk], or [B, 1 | head, Tq | 1, Tk]. Any dtype; a floating mask must hold only 0 and 1, or,
                where ``score_bias`` is "given", is added to the scores, and -inf is where the query may not attend.

        Returns:
            [B, Tq, d_model].

        Raises:
            ValueError: wrong rank, width, batch, length or mask shape; mixed dtypes or devices.
        """
        self._check(query, key, value)
        bias = None
        if mask is not None and self.formula.bias == "given" and mask.is_floating_point():
            mask, bias = split_mask(with_head_axis(mask, query, key, self.head))
        elif mask is not None:
            mask = as_allowed(mask, query, key, self.head)
        q, k, v = self._heads(query, key, value)
        parts: Any = self._modules  # read directly: in a small module, each attribute costs as much as a small operation
        if self._is_plain:
            z, weights = self._attend(q, k, v, parts["dropout"], mask)
        else:
            z, weights = self._attend_by(q, k, v, parts["dropout"], mask, bias, self._parameters.get("sinks"))
        # Neither a parameter nor a module: nn.Module's own __setattr__ would look through all of them first.
        self.__dict__["_weights"] = weights
        if z.shape != q.shape:
            raise ValueError(f"the attention function returned {list(z.shape)}; must be {list(q.shape)}")
        return apply(parts["linear_out"], z.transpose(1, 2).flatten(2))

    def _heads(self, query: Tensor, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Q, K and V, each [B, H, T, d_k]."""
        parts: Any = self._modules
        linears = (parts["linear_query"], parts["linear_key"], parts["linear_value"])
        together = self._packed
        if together is not None and query is key and key is value and not torch.compiler.is_compiling():
            heads = together.project(linears, query)
            if heads is not None:
                batch, length, _ = query.shape
                q, k, v = heads.view(batch, length, 3, self.head, self.d_k).permute(2, 0, 3, 1, 4).unbind(0)
                return q, k, v
        q, k, v = (
            apply(linear, x).view(x.size(0), x.size(1), heads, self.d_k).transpose(1, 2)
            for linear, x, heads in zip(linears, (query, key, value), (self.head, self.kv_heads, self.kv_heads), strict=True)
        )
        return q, k, v

    def _check(self, query: Tensor, key: Tensor, value: Tensor) -> None:
        """Raise ValueError unless the three fit; what is said is only put together then."""
        shape = query.shape
        fitting = len(shape) == 3 and shape[2] == self.d_model
        if not (query is key and key is value):
            others = key.shape
            fitting = fitting and others == value.shape and len(others) == 3 and others[::2] == shape[::2]
        if not fitting:
            refuse_sizes(query, key, value, self.d_model)
        linear: Any = self._modules["linear_query"]
        weight = linear._parameters.get("weight")
        if weight is None:  # another kind of layer was put there, or its weight is computed
            weight = getattr(linear, "weight", query)
        for x in (query,) if query is key and key is value else (query, key, value):
            if x.dtype != weight.dtype or x.device != weight.device:
                if query.is_meta or not torch.is_autocast_enabled(query.device.type):  # autocast exists to mix dtypes
                    require_alike({"query": query, "key": key, "value": value, "linear_query.weight": weight})
                break

    def __getstate__(self) -> dict[str, Any]:
        # The weights of the last call belong to its autograd graph, which can be neither copied nor pickled.
        return {**self.__dict__, "_weights": None, "_packed": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)  # type: ignore[no-untyped-call]
        self._pack()

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> MultiHeadAttention:
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]  # each parameter was moved or converted by itself
        self._pack()
        return self

    def _pack(self) -> None:
        self._packed = None
        if self._packs:
            with contextlib.suppress(ValueError):  # then each layer is called by itself
                self._packed = Packed((self.linear_query, self.linear_key, self.linear_value))

    def extra_repr(self) -> str:
        """Show the sizes that the linear layers alone do not."""
        causal = ", causal=True" if self.formula == Formula(causal="top-left") else ""
        words = "".join(f"; {w}" for w in self.formula.words) if not self._is_plain else causal
        return f"head={self.head}, d_model={self.d_model}, d_k={self.d_k}{words}"
