"""The reference's one slot: how a plain attention function on [B, H, T, d] is called."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from functools import partial
from typing import Any

from torch import Tensor, nn
from torch.nn import functional

from mhsa.names import DROPOUT, HEAD_WIDTH, KEY, MASK, QUERY, VALUE, pick

Attend = Callable[[Tensor, Tensor, Tensor, nn.Dropout, Tensor | None], tuple[Tensor, Tensor | None]]

# torch's own function is a builtin without an inspectable signature; these are its documented parameters.
_SDPA = ("query", "key", "value", "attn_mask", "dropout_p")


def fit_slot(attention: Callable[..., Any], dropout: float = 0.0) -> Attend:
    """Wrap ``attention`` as ``attend(query, key, value, dropout_module, mask) -> (Z, A or None)``.

    The parameters are found by their common names (``mask``, ``attn_mask``; ``dropout``, ``dropout_p``; ...). A dropout
    parameter whose default is a number is given the probability (0.0 outside training), any other the module. A
    parameter called as the width of a head (``d_k``) is given query's last size.

    Raises:
        TypeError: ``attention`` is not callable, or needs a parameter that is not known here.
        ValueError: ``dropout`` is not 0 but ``attention`` takes no dropout, so it would be lost silently.
    """
    if not callable(attention):
        raise TypeError(f"attention={attention!r}; must be a function of query, key, value on [B, H, T, d]")
    name = getattr(attention, "__name__", repr(attention))
    if attention is functional.scaled_dot_product_attention:
        return partial(_call, attention, _SDPA[:3], "attn_mask", "dropout_p", None, True)
    try:
        parameters = _parameters(attention) if inspect.isfunction(attention) else dict(inspect.signature(attention).parameters)
    except (TypeError, ValueError):
        raise TypeError(f"{name} has no readable signature; wrap it in a def with query, key, value, mask") from None
    first, mask, drop = slot_names(parameters)
    if first is None:
        raise TypeError(f"{name}({', '.join(parameters)}): its first parameters must be query, key, value")
    width = pick(parameters, HEAD_WIDTH)
    rest = set(parameters) - {*first, mask, drop, width}
    unknown = [n for n in rest if parameters[n].default is inspect.Parameter.empty and parameters[n].kind < 2]
    if unknown:
        raise TypeError(f"{name} needs {', '.join(sorted(unknown))}, which is not known here; give it a default")
    if drop is None and dropout:
        raise ValueError(f"{name} takes no dropout parameter, so dropout={dropout} would be lost; use dropout=0.0")
    as_probability = drop is not None and isinstance(parameters[drop].default, (int, float))
    return partial(_call, attention, first, mask, drop, width, as_probability)


@functools.lru_cache(maxsize=64)  # modules are built by the thousand, always with the same few functions
def _parameters(function: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    return dict(inspect.signature(function).parameters)


def slot_names(
    parameters: dict[str, inspect.Parameter],
) -> tuple[tuple[str, str, str] | None, str | None, str | None]:
    """Names of (query, key, value), of the mask and of dropout among the parameters of an attention function."""
    q, k, v = (pick(parameters, names) for names in (QUERY, KEY, VALUE))
    first = (q, k, v) if q and k and v else None
    return first, pick(parameters, MASK), pick(parameters, DROPOUT)


def slot_call(attention: Callable[..., Any], *, has_mask: bool) -> str:
    """Return the arguments with which a slot calls its function in eval mode, as they are written in Python."""
    _, first, mask, dropout, width, as_probability = fit_slot(attention).args  # type: ignore[attr-defined]
    named = dict(zip(first, ("query", "key", "value"), strict=True))
    if mask is not None:
        named[mask] = "mask" if has_mask else "None"
    if dropout is not None:
        named[dropout] = "0.0" if as_probability else "torch.nn.Dropout(0.0)"
    if width is not None:
        named[width] = "query.size(-1)"
    return ", ".join(f"{name}={value}" for name, value in named.items())


def _call(
    attention: Callable[..., Any],
    first: tuple[str, str, str],
    mask_name: str | None,
    dropout_name: str | None,
    width_name: str | None,
    as_probability: bool,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    dropout: nn.Dropout,
    mask: Tensor | None,
) -> tuple[Tensor, Tensor | None]:
    named: dict[str, Any] = {}
    if mask_name is not None:
        named[mask_name] = mask
    elif mask is not None:
        raise ValueError("a mask was given, but the attention function takes none")
    if dropout_name is not None:
        named[dropout_name] = (dropout.p if dropout.training else 0.0) if as_probability else dropout
    if width_name is not None:
        named[width_name] = query.size(-1)
    result = attention(**dict(zip(first, (query, key, value), strict=True)), **named)
    z, weights = result if isinstance(result, tuple) and len(result) == 2 else (result, None)
    if not isinstance(z, Tensor):
        raise TypeError(f"the attention function returned {type(z).__name__}; must return Z or (Z, A), tensors")
    return z, weights
