"""The reference's one slot: how a plain attention function on [B, H, T, d] is called."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, TypeAlias

from torch import Tensor, nn
from torch.nn import functional

from mhsa.records.names import CAUSAL, DROPOUT, HEAD_WIDTH, KEY, MASK, QUERY, TRAINING, VALUE, pick
from mhsa.reference.blocks import causal_mask
from mhsa.reference.fused_core import fuse, fused_attention

# Weights that a function does not keep may be given as a function that computes them.
Weights: TypeAlias = Tensor | Callable[[], Tensor | None] | None
Attend: TypeAlias = Callable[[Tensor, Tensor, Tensor, nn.Dropout, Tensor | None], tuple[Tensor, Weights]]

# torch's own function is a builtin without an inspectable signature; these are its first documented parameters,
_SDPA = ("query", "key", "value")
_SDPA_REST = ("is_causal", "scale", "enable_gqa")  # and those that it is not given, in a slot that is not causal


def fit_slot(attention: Callable[..., Any], dropout: float = 0.0, *, causal: bool = False) -> Attend:
    """Wrap ``attention`` as ``attend(query, key, value, dropout_module, mask) -> (Z, A or None)``.

    The parameters are found by their common names (``mask``, ``attn_mask``; ``dropout``, ``dropout_p``; ...). A dropout
    parameter whose default is a number is given the probability (0.0 outside training), any other the module. A
    parameter called as the width of a head (``d_k``) is given query's last size, and one called ``training`` whether dropout
    is on. If ``causal``, each query may attend to the keys up to its own place only: a function with a parameter for that is
    told so, any other is given a mask.

    Raises:
        TypeError: ``attention`` is not callable, or needs a parameter that is not known here.
        ValueError: ``dropout`` is not 0 but ``attention`` takes no dropout, so it would be lost silently.
    """
    if not callable(attention):
        raise TypeError(f"attention={attention!r}; must be a function of query, key, value on [B, H, T, d]")
    name = getattr(attention, "__name__", repr(attention))
    if attention is fused_attention:
        return partial(_call_fused, causal)
    if attention is functional.scaled_dot_product_attention:
        return partial(_call_sdpa, causal)
    try:
        parameters = _parameters(attention) if inspect.isfunction(attention) else dict(inspect.signature(attention).parameters)
    except (TypeError, ValueError):
        raise TypeError(f"{name} has no readable signature; wrap it in a def with query, key, value, mask") from None
    first, mask, drop = slot_names(parameters)
    if first is None:
        raise TypeError(f"{name}({', '.join(parameters)}): its first parameters must be query, key, value")
    names = _Names(
        attention, first, mask, drop,
        as_probability=drop is not None and isinstance(parameters[drop].default, (int, float)),
        width=pick(parameters, HEAD_WIDTH), causal=pick(parameters, CAUSAL) if causal else None,
        training=pick(parameters, TRAINING) if drop is not None else None,
    )  # fmt: skip
    rest = set(parameters) - {*first, mask, drop, names.width, names.causal, names.training}
    unknown = [n for n in rest if parameters[n].default is inspect.Parameter.empty and parameters[n].kind < 2]
    if unknown:
        raise TypeError(f"{name} needs {', '.join(sorted(unknown))}, which is not known here; give it a default")
    if drop is None and dropout:
        raise ValueError(f"{name} takes no dropout parameter, so dropout={dropout} would be lost; use dropout=0.0")
    if causal and names.causal is None and mask is None:
        raise ValueError(f"{name} takes neither a mask nor causal, so it cannot be causal; use causal=False")
    return partial(_call, names, causal and names.causal is None)


@dataclass(frozen=True)
class _Names:
    """A function, and what it calls the things that it is given; None where it takes no such thing."""

    attention: Callable[..., Any]
    first: tuple[str, str, str]
    mask: str | None
    dropout: str | None
    as_probability: bool
    width: str | None
    causal: str | None
    training: str | None = None


@functools.lru_cache(maxsize=64)  # modules are built by the thousand, always with the same few functions
def _parameters(function: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    return dict(inspect.signature(function).parameters)


def slot_names(
    parameters: dict[str, inspect.Parameter],
) -> tuple[tuple[str, str, str] | None, str | None, str | None]:
    """Names of (query, key, value), of the mask and of dropout among the parameters of an attention function."""
    return _slot_names(tuple(parameters))


@functools.lru_cache(maxsize=64)  # as _parameters
def _slot_names(parameters: tuple[str, ...]) -> tuple[tuple[str, str, str] | None, str | None, str | None]:
    q, k, v = (pick(parameters, names) for names in (QUERY, KEY, VALUE))
    first = (q, k, v) if q and k and v else None
    return first, pick(parameters, MASK), pick(parameters, DROPOUT)


def slot_rest(attention: Callable[..., Any]) -> tuple[str, ...]:
    """Return the parameters that a slot which is not causal leaves at their defaults; of ``**more`` no name is known."""
    if attention is functional.scaled_dot_product_attention:
        return _SDPA_REST
    parameters = dict(inspect.signature(attention).parameters)
    first, mask, drop = slot_names(parameters)
    given = {*(first or ()), mask, drop, pick(parameters, HEAD_WIDTH), pick(parameters, TRAINING) if drop is not None else None}
    return tuple(n for n, p in parameters.items() if n not in given and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD))


def slot_call(attention: Callable[..., Any], *, has_mask: bool) -> str:
    """Return the arguments with which a slot calls its function in eval mode, as they are written in Python."""
    given = fit_slot(attention).args[0]  # type: ignore[attr-defined]
    names = given if isinstance(given, _Names) else _Names(attention, _SDPA, "mask", "dropout", True, None, None)
    if attention is functional.scaled_dot_product_attention:
        names = replace(names, mask="attn_mask", dropout="dropout_p")
    named = dict(zip(names.first, ("query", "key", "value"), strict=True))
    if names.mask is not None:
        named[names.mask] = "mask" if has_mask else "None"
    if names.dropout is not None:
        named[names.dropout] = "0.0" if names.as_probability else "torch.nn.Dropout(0.0)"
    if names.width is not None:
        named[names.width] = "query.size(-1)"
    if names.training is not None:
        named[names.training] = "False"
    return ", ".join(f"{name}={value}" for name, value in named.items())


def _call(
    names: _Names,
    by_mask: bool,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    dropout: nn.Dropout,
    mask: Tensor | None,
) -> tuple[Tensor, Weights]:
    named: dict[str, Any] = dict(zip(names.first, (query, key, value), strict=True))
    if by_mask:
        mask = _with_causal(query, key, mask)
    if names.mask is not None:
        named[names.mask] = mask
    elif mask is not None:
        raise ValueError("a mask was given, but the attention function takes none")
    if names.dropout is not None:
        named[names.dropout] = _rate(dropout) if names.as_probability else dropout
    if names.width is not None:
        named[names.width] = query.size(-1)
    if names.causal is not None:
        named[names.causal] = True
    if names.training is not None:
        named[names.training] = dropout.training
    result = names.attention(**named)
    z, weights = result if isinstance(result, tuple) and len(result) == 2 else (result, None)
    if not isinstance(z, Tensor):
        raise TypeError(f"the attention function returned {type(z).__name__}; must return Z or (Z, A), tensors")
    return z, weights


def _call_sdpa(
    causal: bool, query: Tensor, key: Tensor, value: Tensor, dropout: nn.Dropout, mask: Tensor | None
) -> tuple[Tensor, Weights]:
    if causal and mask is not None:  # torch takes one or the other
        mask, causal = _with_causal(query, key, mask), False
    z = functional.scaled_dot_product_attention(query, key, value, attn_mask=mask, dropout_p=_rate(dropout), is_causal=causal)
    return z, None


def _call_fused(
    causal: bool, query: Tensor, key: Tensor, value: Tensor, dropout: nn.Dropout, mask: Tensor | None
) -> tuple[Tensor, Weights]:
    return fuse(query, key, value, _rate(dropout), mask, causal)


def _rate(dropout: nn.Dropout) -> float:
    return dropout.p if dropout.training else 0.0


def _with_causal(query: Tensor, key: Tensor, mask: Tensor | None) -> Tensor:
    before = causal_mask(query, key)
    return before if mask is None else mask & before
