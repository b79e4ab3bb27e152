"""A function of heads with options of its own, called as one without: the options state what the contract declares."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from mhsa.oracle.formula.alibi import slopes
from mhsa.records.contract import Contract
from mhsa.records.names import SINKS, is_called
from mhsa.reference.core_slot import slot_names
from mhsa.subject.adapters.required_arguments import required_values
from mhsa.subject.construction.declared_options import is_causality, options_of
from mhsa.subject.signature import bias_among, masks_among

# Arguments that are tensors [H]: the logits of sinks, and the slopes of ALiBi.
_SINK_ARGUMENTS = SINKS | {"learnable_sink", "learnable_sinks", "s_aux", "sink_token_logits"}
_SLOPES = {"alibi_slopes", "slopes", "alibi_slope", "head_slopes"}
ALIBI = ("alibi", "alibi-geometric")
_OPTION_KINDS = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)

_sinks: ContextVar[Tensor | None] = ContextVar("mhsa_sinks", default=None)


@dataclass(frozen=True)
class GivenOptions:
    """What a function is given in addition to heads, mask and dropout.

    Attributes:
        values: of the options that state a declared feature, by name.
        sinks, slopes: names of the arguments for tensors [H], empty where none is given.
        usual: whether nothing among them is declared: they must be given, and are given what is usual.
    """

    values: Mapping[str, Any] = field(default_factory=dict)
    sinks: str = ""
    slopes: str = ""
    usual: bool = False

    @property
    def names(self) -> tuple[str, ...]:
        """Names of all that is given."""
        return (*self.values, *(n for n in (self.sinks, self.slopes) if n))

    @property
    def words(self) -> str:
        """All that is given, as it is written in a call."""
        tensors = [f"{n}=a tensor [H]" for n in (self.sinks, self.slopes) if n]
        return ", ".join([*(f"{n}={value!r}" for n, value in self.values.items()), *tensors])


def options_given(function: Callable[..., Any], contract: Contract, d_k: int) -> GivenOptions:
    """Return the options of a function that a contract states, for heads of ``d_k`` features."""
    parameters = _optional(function)
    sinks = sinks_argument(function) if contract.sinks == "learned" else ""
    alibi = slopes_argument(function) if contract.bias in ALIBI else ""
    values = options_of(parameters, contract, d_k, (sinks, alibi))
    for name, parameter in parameters.items():  # a switch that must be given is off where nothing is declared
        if is_causality(name) and parameter.default is parameter.empty:
            values.setdefault(name, False)
    bias = bias_among(parameters, masks_among(parameters_of(function))) or ""
    usual = not values and contract.scale is None
    values = {**required_values(function, parameters, contract, d_k, bias), **values}
    return GivenOptions(values, sinks, alibi, usual=usual and not sinks and not alibi)


def sinks_argument(function: Callable[..., Any]) -> str:
    """Return the name of a function's argument for learned sinks [H]; empty where it has none."""
    return next((n for n, p in _optional(function).items() if is_called(n, _SINK_ARGUMENTS) and _may_be_tensor(p)), "")


def slopes_argument(function: Callable[..., Any]) -> str:
    """Return the name of a function's argument for the slopes of ALiBi [H]; empty where it has none."""
    return next((n for n, p in _optional(function).items() if is_called(n, _SLOPES) and _may_be_tensor(p)), "")


def is_required(function: Callable[..., Any], name: str) -> bool:
    """Whether a function has an argument of this name without a default."""
    parameter = _optional(function).get(name)
    return parameter is not None and parameter.default is parameter.empty


def parameters_of(function: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    """Return the parameters of a function, by name; those of what cannot be read, but torch's own, none."""
    if function is functional.scaled_dot_product_attention:
        function = _torchs
    try:
        return dict(inspect.signature(function).parameters)
    except (TypeError, ValueError):
        return {}


class WithOptions:
    """A function, given its options in every call; its signature is what is left."""

    def __init__(self, function: Callable[..., Any], options: GivenOptions, head: int, contract: Contract) -> None:
        self.__name__ = getattr(function, "__name__", repr(function))
        self._function = _torchs if function is functional.scaled_dot_product_attention else function
        signature = inspect.signature(self._function)
        kept = [p for n, p in signature.parameters.items() if n not in options.names]
        self.__signature__ = signature.replace(parameters=kept, return_annotation=signature.empty)
        self._options = options
        self._slopes = slopes_of(head, contract) if options.slopes else None

    def __call__(self, **named: Any) -> Any:
        """Call the function with its options; a tensor of slopes is in float32 where the heads are in a half format."""
        named |= self._options.values
        query = next(x for x in named.values() if isinstance(x, Tensor))
        if self._slopes is not None:
            dtype = torch.promote_types(query.dtype, torch.float32)
            named[self._options.slopes] = self._slopes.to(device=query.device, dtype=dtype)
        if self._options.sinks:
            named[self._options.sinks] = _sinks.get()
        return self._function(**named)


def slopes_of(head: int, contract: Contract) -> Tensor:
    """Return the slopes [H] of the declared ALiBi, in float64."""
    return torch.from_numpy(slopes(head, contract.formula.bias))


class lending:
    """Hands learned sinks [H] to every :class:`WithOptions` that is called within."""

    def __init__(self, sinks: Tensor | None) -> None:
        self._given = sinks

    def __enter__(self) -> None:
        self._token = _sinks.set(self._given)

    def __exit__(self, *_: object) -> None:
        _sinks.reset(self._token)


def _optional(function: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    """Return the parameters besides heads, mask and dropout."""
    parameters = parameters_of(function)
    first, mask, dropout = slot_names(parameters)
    return {n: p for n, p in parameters.items() if n not in (*(first or ()), mask, dropout) and p.kind in _OPTION_KINDS}


def _may_be_tensor(parameter: inspect.Parameter) -> bool:
    """Whether an argument is not said to be a number or a switch."""
    return parameter.default is parameter.empty or parameter.default is None


def _torchs(
    query: Tensor, key: Tensor, value: Tensor, attn_mask: Tensor | None = None, dropout_p: float = 0.0,
    is_causal: bool = False, scale: float | None = None, enable_gqa: bool = False,
) -> Tensor:  # fmt: skip
    """Call torch's function, which takes a mask or is causal: where both are wanted, the mask hides what is later, too."""
    if is_causal and attn_mask is not None:
        seen = torch.ones(query.size(-2), key.size(-2), dtype=torch.bool, device=query.device).tril()
        boolean = attn_mask.dtype == torch.bool
        attn_mask, is_causal = attn_mask & seen if boolean else attn_mask.masked_fill(~seen, -torch.inf), False
    return functional.scaled_dot_product_attention(
        query, key, value, attn_mask, dropout_p, is_causal, scale=scale, enable_gqa=enable_gqa
    )
