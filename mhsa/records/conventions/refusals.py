"""What a contract refuses: values that no convention has, each with what it can be instead."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, get_args

from mhsa.oracle.formula.fields import DeclaredCausal, Lse, SoftcapOrder, Window
from mhsa.records.conventions.values import (
    LENGTH_SHAPES,
    Accumulation,
    AfterInference,
    BiasSwitch,
    Counters,
    Dropout,
    Float64In,
    FullyMaskedRow,
    Heads,
    Indivisible,
    Layout,
    Lengths,
    Maps,
    Masked,
    MaskMeaning,
    MaskShape,
    Out,
    PaddedQueries,
    ShapeMismatch,
    SpareParameters,
    Strides,
    Surroundings,
    Weights,
    Widths,
)

_WORDS: dict[str, tuple[Any, ...]] = {
    "fully_masked_row": (None, *get_args(FullyMaskedRow)),
    "mask": (None, *get_args(MaskMeaning)),
    "mask_shape": (None, *get_args(MaskShape)),
    "layout": (None, *get_args(Layout)),
    "lengths": (None, *get_args(Lengths)),
    "strides": (None, *get_args(Strides)),
    "masked": get_args(Masked),
    "indivisible": (None, *get_args(Indivisible)),
    "dropout": (None, *get_args(Dropout)),
    "spare_parameters": (None, *get_args(SpareParameters)),
    "padded_queries": (None, *get_args(PaddedQueries)),
    "after_inference": (None, *get_args(AfterInference)),
    "counters": (None, *get_args(Counters)),
    "bias_switch": (None, *get_args(BiasSwitch)),
    "shape_mismatch": get_args(ShapeMismatch),
    "float64_in": (None, *get_args(Float64In)),
    "accumulation": get_args(Accumulation),
    "surroundings": (None, *get_args(Surroundings)),
    "heads": (None, *get_args(Heads)),
    "causal": (None, *get_args(DeclaredCausal)),
    "softcap_order": get_args(SoftcapOrder),
    "out": (None, *get_args(Out)),
    "projections": (None, *get_args(Maps)),
    "weights": (None, *get_args(Weights)),
    "widths": (None, *get_args(Widths)),
    "lse": (None, *get_args(get_args(Lse)[0])),
}


def refuse_unknown_words(declared: Mapping[str, Any]) -> None:
    """Raise ValueError for the first field whose value is none of its words."""
    causal = declared["causal"]
    if isinstance(causal, bool):
        raise ValueError(
            f"Contract(causal={causal!r}); must be 'top-left' (query i sees the keys 0 to i), 'bottom-right' (the "
            "last query sees every key), or 'no'. With as many queries as keys, the first two are the same"
        )
    for name, value in declared.items():
        if name in _WORDS and value not in _WORDS[name]:
            listed = ", ".join(repr(word) for word in _WORDS[name])
            raise ValueError(f"Contract({name}={value!r}); must be one of {listed}")


def require_fitting_shape(mask: MaskMeaning | None, shape: MaskShape | None) -> None:
    """Raise ValueError unless lengths have the shape of lengths, and masks that of masks."""
    if mask is None or shape is None:
        return
    fitting = [s for s in get_args(MaskShape) if (s in LENGTH_SHAPES) == (mask == "lengths")]
    if shape not in fitting:
        raise ValueError(f"Contract(mask={mask!r}, mask_shape={shape!r}); must be one of {', '.join(map(repr, fitting))}")


def require_numbers(scale: Any, softcap: Any) -> None:
    """Raise ValueError unless scale and soft cap are finite numbers above 0, or not declared."""
    for name, value in (("scale", scale), ("softcap", softcap)):
        positive = _is_number(value) and 0.0 < value < float("inf")
        if value is None or (name == "scale" and value == "1/d_k") or positive:
            continue
        also = ", '1/d_k'" if name == "scale" else ""
        raise ValueError(f"Contract({name}={value!r}); must be a number above 0{also} or None")


def require_heads(kv_heads: Any, sinks: Any) -> None:
    """Raise ValueError unless a number of heads can be one, and the sinks of heads are learned, a number or not there."""
    if not (kv_heads in (None, "grouped") or (type(kv_heads) is int and kv_heads >= 1)):
        raise ValueError(f"Contract(kv_heads={kv_heads!r}); must be 'grouped', a whole number of at least 1, or None")
    if not (sinks is None or sinks == "learned" or (_is_number(sinks) and abs(sinks) < float("inf"))):
        raise ValueError(f"Contract(sinks={sinks!r}); must be 'learned', a number or None")


def window_of(window: Any) -> Window | None:
    """Return a window as a tuple; ValueError where it is none."""
    if window is None:
        return None
    sides = tuple(window) if isinstance(window, (list, tuple)) else ()
    if len(sides) != 2 or not all(type(side) is int and side >= -1 for side in sides) or sides == (-1, -1):
        raise ValueError(
            f"Contract(window={window!r}); must be [left, right]: how many keys before and after the own place are "
            "seen, -1 for all on one side"
        )
    return sides


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
