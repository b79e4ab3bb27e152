"""The reference's slot under a formula: what each kind of function is given, and what is done outside of it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from torch import Tensor, nn

from mhsa.oracle.formula.formula import Formula
from mhsa.reference.core_slot import Attend, Weights, fit_slot
from mhsa.reference.exact_core import self_attention
from mhsa.reference.formula_core import formula_attention
from mhsa.reference.fused_core import fused_attention
from mhsa.reference.fused_formula import fuse_formula
from mhsa.reference.positions import distances, rotated, seen

# attend(query, key, value, dropout_module, mask, bias, sinks); key and value may have fewer heads than query.
AttendBy = Callable[
    [Tensor, Tensor, Tensor, nn.Dropout, Tensor | None, Tensor | None, Tensor | None], tuple[Tensor, Weights]
]  # fmt: skip


def fit_formula(attention: Callable[..., Any], dropout: float, formula: Formula) -> AttendBy:
    """Wrap ``attention`` for what the formula declares.

    mhsa's own two functions do all of it. For any other, queries and keys are rotated, shared heads are repeated, and what the
    places hide is put into the mask.

    Raises:
        ValueError: another function would have to know of a scale, a soft cap, a bias or sinks.
        TypeError: as :func:`mhsa.reference.core_slot.fit_slot`.
    """
    if attention is self_attention:
        return partial(_exactly, formula)
    if attention is fused_attention:
        return partial(_fused, formula)
    inner = fit_slot(attention, dropout)
    inside = {"scale": formula.scale, "softcap": formula.softcap, "score_bias": formula.bias, "sinks": formula.sinks}
    lost = [name for name, value in inside.items() if value is not None]
    if lost:
        name = getattr(attention, "__name__", repr(attention))
        raise ValueError(
            f"{name} would have to compute {', '.join(lost)}, which only mhsa.self_attention and mhsa.fused_attention do here; "
            "use one of these as attention"
        )
    return partial(_other, formula, inner)


def _exactly(
    formula: Formula, query: Tensor, key: Tensor, value: Tensor, dropout: nn.Dropout, mask: Any, bias: Any, sinks: Any
) -> tuple[Tensor, Weights]:
    return formula_attention(query, key, value, formula, dropout=dropout, mask=mask, bias=bias, sinks=sinks)


def _fused(
    formula: Formula, query: Tensor, key: Tensor, value: Tensor, dropout: nn.Dropout, mask: Any, bias: Any, sinks: Any
) -> tuple[Tensor, Weights]:
    return fuse_formula(query, key, value, formula, dropout.p if dropout.training else 0.0, mask, bias, sinks)


def _other(
    formula: Formula,
    inner: Attend,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    dropout: nn.Dropout,
    mask: Any,
    bias: Any,
    sinks: Any,
) -> tuple[Tensor, Weights]:
    query, key = rotated(formula, query, key)
    key, value = (x.repeat_interleave(query.size(1) // x.size(1), dim=1) for x in (key, value))
    mask = seen(formula, distances(formula, query.size(-2), key.size(-2), query.device), mask)
    return inner(query, key, value, dropout, mask)
