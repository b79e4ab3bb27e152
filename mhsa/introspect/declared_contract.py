"""What a user declared of a subject, and whether it can apply: a promise that nothing looks at must not pass for a kept one.

``APPLIES`` has every field of :class:`mhsa.Contract`. What only a dtype decides always applies: dtypes belong to a run.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any, get_args

from torch import nn

from mhsa.introspect.surroundings.one_attention import OneAttention
from mhsa.oracle.formula.fields import WITHOUT_MASK
from mhsa.records.contract import Contract
from mhsa.records.conventions.values import FUNCTION_LAYOUTS, LENGTH_SHAPES, Layout
from mhsa.records.errors import Question
from mhsa.subject.adapters.adapter import Adapter
from mhsa.subject.adapters.function_adapter import FunctionAdapter
from mhsa.subject.adapters.input_widths import inputs_named
from mhsa.subject.adapters.module_adapter import ModuleAdapter, has_own_head_width
from mhsa.subject.adapters.several_calls import EachQueryAlone
from mhsa.subject.construction.by_source.bias_switch import bias_switch
from mhsa.subject.forms.mask_conversion import ALIKE_FOR_QUERIES


@dataclass(frozen=True)
class Promise:
    """One declared field, and what is known of the subject by then.

    Attributes:
        value: as it was declared.
        others: the names of all fields that were declared.
        target: the loaded object.
        adapter: how it is called.
        contract: with the form of the mask found out.
    """

    value: Any
    others: frozenset[str]
    target: Any
    adapter: Adapter
    contract: Contract


def _always(promise: Promise) -> str:
    return ""


def _with_places(promise: Promise) -> str:
    shape = promise.contract.mask_shape
    if str(promise.value).endswith(WITHOUT_MASK) and (shape is None or shape in (*ALIKE_FOR_QUERIES, *LENGTH_SHAPES)):
        return _with_a_mask(promise) or "its masks are the same for every query, and cannot hide the later keys of each"
    if promise.value in (None, "no", "given") or not isinstance(promise.adapter, EachQueryAlone):
        return ""
    return "the subject takes one query for each sample, which is given alone and has no place among the keys"


def _with_a_mask(promise: Promise) -> str:
    return "" if promise.adapter.takes_mask else "the subject is given no mask"


def _with_a_mask_of_its_own_number(promise: Promise) -> str:
    fill = promise.contract.formula.fill
    if promise.contract.mask == "additive":
        return "its mask is added to the scores, so that the number is the caller's"
    if fill is not None and fill.how == "added" and promise.adapter.inputs == "x":
        return "in self-attention masked keys are queries, too, and no property gives them alone a score that shows the number"
    return _with_a_mask(promise)


def _with_tokens_that_are_masked(promise: Promise) -> str:
    alike = promise.contract.mask_shape in ALIKE_FOR_QUERIES and promise.adapter.inputs == "x"
    return _with_a_mask(promise) or ("" if alike else "its masks are not of tokens that are queries, too")


def _with_a_fully_masked_row(promise: Promise) -> str:
    shape = promise.contract.mask_shape
    alike = "the same for every sample" if shape == "[Tq, Tk]" else ""
    if shape in (*ALIKE_FOR_QUERIES, *LENGTH_SHAPES):
        alike = "lengths" if shape in LENGTH_SHAPES else "the same for every query"
    # Of a sample without keys it is judged what is promised, but for a mean of values that causality may hide, too.
    judged = promise.value in ("zeros", "zero-output", "raises") or (
        promise.value == "uniform" and not promise.contract.formula.positional
    )
    if promise.value != "nan" and promise.adapter.takes_mask and alike and (shape == "[Tq, Tk]" or not judged):
        return f"its masks are {shape}, {alike}, and of one that hides every key no property says more than that it is finite"
    return _with_a_mask(promise)


def _of_that_kind(promise: Promise) -> str:
    function = isinstance(promise.adapter, FunctionAdapter)
    if (promise.value in FUNCTION_LAYOUTS) == function:
        return ""
    known = [layout for layout in get_args(Layout) if (layout in FUNCTION_LAYOUTS) == function]
    return f"that of {'a function of heads' if function else 'a module'} is one of {', '.join(known)}"


def _with_a_constructor(promise: Promise) -> str:
    if isinstance(promise.adapter, FunctionAdapter):
        return "a function on [B, H, T, d] has no constructor"
    if isinstance(promise.target, nn.Module):
        return "the subject is a module that is built already, so no constructor is called"
    if promise.adapter.sizes is not None:
        return "the subject is built in one size only"
    if promise.value == "raises" and has_own_head_width(promise.target, promise.adapter):
        return "its constructor takes the width of a head, so d_model need not be a multiple of the number of heads"
    constructor = promise.adapter.constructor if isinstance(promise.adapter, ModuleAdapter) else None
    if promise.value == "raises" and constructor is not None and constructor.any_width:
        return "what its constructor builds takes tokens of any width, of which it need not know"
    return ""


def _with_a_rate(promise: Promise) -> str:
    constructor = promise.adapter.constructor if isinstance(promise.adapter, ModuleAdapter) else None
    return "" if constructor is None or constructor.drops else "its constructor takes no rate of dropout"


def _with_keys(promise: Promise) -> str:
    if isinstance(promise.adapter, FunctionAdapter):
        return "" if promise.value == "equal" else "a function on [B, H, T, d] is judged with any"
    if promise.value == "equal" and not isinstance(promise.adapter, ModuleAdapter):
        return "the subject is called by its own adapter"
    return "the subject is self-attention, whose lengths are equal" if promise.adapter.inputs == "x" else ""


def _within_a_module(promise: Promise) -> str:
    return "a function on [B, H, T, d] has nothing around it" if isinstance(promise.adapter, FunctionAdapter) else ""


def _of_a_layer(promise: Promise) -> str:
    return "" if isinstance(promise.adapter, OneAttention) else "it is one of several of a layer that mhsa calls by its names"


def _with_maps(promise: Promise) -> str:
    return "a function on [B, H, T, d] has no projections of its own" if isinstance(promise.adapter, FunctionAdapter) else ""


def _with_a_switch_of_biases(promise: Promise) -> str:
    constructor = promise.adapter.constructor if isinstance(promise.adapter, ModuleAdapter) else None
    found = None if constructor is None else bias_switch(constructor.target)
    return "" if found is not None else "its constructor has no switch that is called bias, or several of biases"


def _with_a_deviation(promise: Promise) -> str:
    deviates = promise.others - {"reason"} or promise.contract.fully_masked_row == "nan"
    return "" if deviates else "no other field is declared that it could be the reason of"


def _with_both(promise: Promise) -> str:
    both = promise.contract.softcap is not None and promise.contract.bias is not None
    return "" if both else "it is the order of a soft cap and a bias, and both must be declared"


def _with_other_widths(promise: Promise) -> str:
    adapter = promise.adapter
    if promise.value != "apart" or isinstance(adapter, FunctionAdapter):
        return ""
    constructor = adapter.constructor if isinstance(adapter, ModuleAdapter) and adapter.sizes is None else None
    named = constructor is not None and inputs_named(constructor.target, adapter.inputs)
    if named and promise.contract.layout in (None, "BTD", "TBD"):
        return ""
    return "no argument of a constructor is the width of an input (input_dim, kdim, context_dim) next to that of the module"


# By field: why a promise applies to nothing, or empty.
APPLIES: dict[str, Callable[[Promise], str]] = {
    "mask": _with_a_mask,
    "mask_shape": _with_a_mask,
    "layout": _of_that_kind,
    "lengths": _with_keys,
    "strides": _always,
    "masked": _with_a_mask,
    "fully_masked_row": _with_a_fully_masked_row,
    "indivisible": _with_a_constructor,
    "dropout": _with_a_rate,
    "spare_parameters": _with_maps,
    "counters": _with_maps,
    "after_inference": _always,
    "padded_queries": _with_tokens_that_are_masked,
    "bias_switch": _with_a_switch_of_biases,
    "shape_mismatch": _always,  # tokens of another width are given to every subject
    "float64_in": _always,
    "weights": _always,  # find_weights_form.py says where none are returned
    "accumulation": _always,
    "surroundings": _within_a_module,
    "layer": _within_a_module,
    "attention": _of_a_layer,
    "heads": _within_a_module,
    "reason": _with_a_deviation,
    "causal": _with_places,
    "scale": _always,
    "window": _with_places,
    "softcap": _always,
    "kv_heads": _always,
    "rotary": _with_places,
    "bias": _with_places,  # readings/biases.py says where none is taken
    "softcap_order": _with_both,
    "fill": _with_a_mask_of_its_own_number,
    "out": _with_maps,
    "projections": _with_maps,
    "widths": _with_other_widths,
    "qk_norm": _always,
    "lse": _always,  # readings/lse.py says where none is returned
    "sinks": _always,  # projections/discover.py says where none are learned
}


def declared_of(adapter: Adapter) -> Contract | None:
    """Return the contract that the user's own code declares, not what mhsa's adapters know by themselves."""
    if isinstance(adapter, (ModuleAdapter, FunctionAdapter)):
        return adapter.declared
    ours = type(adapter).__module__.partition(".")[0] == "mhsa"
    return None if ours else adapter.contract


def different(contract: Contract | None) -> dict[str, Any]:
    """Return the fields that a contract sets to anything but the default: whether others were set is not known."""
    usual = Contract()
    given = {} if contract is None else {f.name: getattr(contract, f.name) for f in fields(contract)}
    return {name: value for name, value in given.items() if value != getattr(usual, name)}


def require_use(name: str, target: Any, adapter: Adapter, configured: Mapping[str, Any], contract: Contract) -> None:
    """Raise unless every declared field can apply.

    Args:
        name: of the subject.
        target: the loaded object.
        adapter: of it.
        configured: the fields that the configuration declares, whatever their values.
        contract: what is known by now, with the form of the mask.

    Raises:
        Question: with the field, what was declared, where, and why it applies to nothing.
    """
    own = different(declared_of(adapter))
    # A whole contract, given to mhsa.verify, has every field: whether its defaults are meant is not known.
    whole = len(configured) == len(APPLIES)
    everything = own | (different(Contract(**configured)) if whole else dict(configured))
    for field, value in everything.items():
        why = APPLIES[field](Promise(value, frozenset(everything), target, adapter, contract))
        if why:
            where = "[tool.mhsa.subjects]" if field in configured else "its Contract"
            raise Question(
                f"{name}: {field} = {value!r} is declared in {where}, but applies to nothing: {why}. Remove it, or describe "
                "the subject in an mhsa.Adapter (docs/adapters.md) so that it applies",
                unused=f"contract.{field}" if field in configured else "",
            )
