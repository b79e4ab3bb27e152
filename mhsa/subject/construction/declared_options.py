"""Options by which public code states a feature of the formula: where the contract declares the feature, they are given it.

A default that states something else is left as it is: the module as it stands then contradicts what is declared.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Collection, Mapping
from functools import cache
from typing import Any

from mhsa.records.contract import Contract
from mhsa.records.names import HEAD, HEAD_WIDTH, WIDTH, is_called, pick

UNDECLARED = object()  # what an option is given that states no declared feature
# Defaults that say that a feature is off, or is computed from something else.
_OFF = (None, False, 0, -1, (-1, -1), (None, None))

# Switches of causality that say by themselves what they do.
CAUSALITY = re.compile(
    r"(is_|use_|apply_|with_|add_)?(causal|auto_?regressive|uni_?directional|look_?ahead)(_?mask(ed|ing)?|_?attention|_?attn)?"
    r"|mask_?(the_?)?future|future_?mask(ed|ing)?",
    re.IGNORECASE,
)
_DECODER = {"is_decoder"}
ROTARY_BASE = {"rope_theta", "rotary_emb_base", "rotary_base", "rope_base", "rotary_theta", "rope_freq_base", "rope_theta_base",
               "freq_base", "rotary_embedding_base", "theta", "base"}  # fmt: skip
_FRACTION = {"rotary_pct", "rotary_percent", "rotary_percentage", "rotary_fraction", "partial_rotary_factor", "rope_pct",
             "rope_percent", "rope_percentage", "rope_fraction", "rotary_factor", "rotary_ratio"}  # fmt: skip
_ROTATED = {"rotary_dim", "rotary_ndims", "rotary_emb_dim", "rotary_embedding_dim", "rot_dim", "rope_dim", "rope_dims",
            "rotary_dims", "n_rot", "rotary_width"}  # fmt: skip
_INTERLEAVED = {"interleaved", "rotary_interleaved", "rope_interleaved", "rotary_emb_interleaved", "rope_interleave"}
_ROTATES = {"rope", "use_rope", "rotary", "use_rotary", "use_rotary_emb", "use_rotary_embedding", "use_rotary_embeddings",
            "rotary_emb", "rotary_embedding", "apply_rope", "apply_rotary", "with_rope", "use_rotary_pos_emb",
            "use_rope_embeddings", "rotary_position_embeddings"}  # fmt: skip
_WINDOW = {"window", "window_size", "sliding_window", "sliding_window_size", "attention_window", "attention_window_size",
           "attn_window", "attn_window_size", "local_window", "local_window_size", "window_length", "local_attention_window",
           "local_attn_window"}  # fmt: skip
_WINDOW_LEFT = {"window_left", "left_window", "window_size_left", "left_window_size", "attn_window_left", "look_backward_size"}
_WINDOW_RIGHT = {"window_right", "right_window", "window_size_right", "right_window_size", "attn_window_right"}
_SOFTCAP = {"softcap", "softcapping", "cap", "logit_cap", "logits_cap", "logit_softcap", "logits_softcap", "logit_softcapping",
            "attn_softcap", "attn_softcapping", "attention_softcap", "attn_logit_cap", "attn_logit_softcap",
            "attn_logit_softcapping", "attn_logits_softcap", "attention_logit_cap", "score_cap", "scores_cap", "score_softcap",
            "max_attn_val"}  # fmt: skip
SCALE = {"scale", "scaling", "softmax_scale", "sm_scale", "attn_scale", "attention_scale", "score_scale", "scores_scale",
          "qk_scale", "scale_factor", "scaling_factor", "attention_multiplier", "attn_output_multiplier", "attn_multiplier",
          "softmax_scaling"}  # fmt: skip
_SQUARED_SCALE = {"query_pre_attn_scalar"}  # 1 / scale^2
_ALIBI = {"alibi", "use_alibi", "with_alibi", "alibi_bias"}
_SINKS = {"use_sink", "use_sinks", "with_sink", "with_sinks", "add_sink", "learned_sink", "learned_sinks", "sink", "sinks",
          "attention_sink", "attention_sinks", "use_attention_sink", "use_attention_sinks"}  # fmt: skip
_OFF_BY_ONE = {"softmax_off_by_one", "off_by_one", "use_off_by_one", "softmax_one", "softmax1", "use_softmax1",
               "quiet_softmax", "softmax_plus_one"}  # fmt: skip
_GROUPED = {"enable_gqa", "use_gqa", "gqa"}

_Value = Callable[[Contract, int, Any], Any]


def declared_option(name: str, contract: Contract, d_k: int, default: Any = None) -> Any:
    """Return what the option ``name`` is given under a contract for heads of width ``d_k``; ``UNDECLARED`` where nothing.

    ``default`` is that of the option, None where it has none: a pair stands for a window, and a switch for whether.
    """
    value = _value_of(name)
    return UNDECLARED if value is None else value(contract, d_k, default)


@cache  # a module is built for every case, and all of them have these few names
def _value_of(name: str) -> _Value | None:
    """Return what gives the option of this name its value; None where the name is that of no option."""
    if is_causality(name) or is_called(name, _DECODER):
        return _causal
    return next((value for names, value in _VALUES if is_called(name, names)), None)


@cache  # as _value_of
def _is_rotated(name: str) -> bool:
    return is_called(name, _ROTATED)


def _causal(contract: Contract, d_k: int, default: Any) -> Any:
    return True if contract.causal not in (None, "no") else UNDECLARED


def options_of(
    parameters: Mapping[str, inspect.Parameter], contract: Contract, d_k: int, left_out: Collection[str] = ()
) -> dict[str, Any]:
    """Return the options among parameters, and what they are given: those that must be given, or are off by default.

    So is a number of rotated features, whose default belongs to the default width of a head and agrees there with what is
    declared.
    """
    found: dict[str, Any] = {}
    for name, parameter in parameters.items():
        required = parameter.default is parameter.empty
        agrees = _is_rotated(name) and _agrees(parameter.default, parameters, contract)
        if name in left_out or not (required or is_off(parameter.default) or agrees):
            continue
        value = declared_option(name, contract, d_k, _default_of(parameter))
        # A switch is switched, and no number is put where a switch is.
        if value is not UNDECLARED and (parameter.default is not False or value is True):
            found[name] = value
    return found


def contradictions(parameters: Mapping[str, inspect.Parameter], contract: Contract, d_k: int) -> dict[str, tuple[Any, Any]]:
    """Return the options whose default states something else than the contract: (the default, what is declared)."""
    found: dict[str, tuple[Any, Any]] = {}
    for name, parameter in parameters.items():
        if parameter.default is parameter.empty or is_off(parameter.default):
            continue
        if is_called(name, _ROTATED) and _agrees(parameter.default, parameters, contract):
            continue
        value = declared_option(name, contract, d_k, parameter.default)
        if value is not UNDECLARED and type(value) in (int, float, tuple) and value != parameter.default:
            found[name] = parameter.default, value
    return found


def _agrees(rotated: Any, parameters: Mapping[str, inspect.Parameter], contract: Contract) -> bool:
    """Whether so many rotated features are what is declared for the width of a head that other defaults say."""
    rotary = contract.formula.rotary
    numbers = {n: p.default for n, p in parameters.items() if type(p.default) is int}
    head, width, of_head = (pick(numbers, names) for names in (HEAD, WIDTH, HEAD_WIDTH))
    if rotary is None or not (of_head or (head and width and numbers[head])):
        return False
    d_k = numbers[of_head] if of_head else numbers[width or ""] // numbers[head or ""]
    return bool(rotary.width(d_k) == rotated)


def is_causality(name: str) -> bool:
    """Return whether a name says that a switch is one of causality."""
    return CAUSALITY.fullmatch(name) is not None


def is_window(name: str) -> bool:
    """Return whether a name says that a number is one of keys that a query sees."""
    return is_called(name, _WINDOW)


def is_off(default: Any) -> bool:
    """Whether a default says that a feature is off, or is computed from something else."""
    default = tuple(default) if isinstance(default, list) else default
    return any(default is off or (type(default) in (int, float, tuple) and default == off) for off in _OFF)


def _rotary(of: Callable[[Any, int], Any]) -> _Value:
    def value(contract: Contract, d_k: int, default: Any) -> Any:
        rotary = contract.formula.rotary
        return UNDECLARED if rotary is None else of(rotary, d_k)

    return value


def _window(contract: Contract, d_k: int, default: Any) -> Any:
    """Return (left, right) where a pair is taken; else how many keys are seen with the own one, or on each of two sides."""
    if contract.window is None:
        return UNDECLARED
    left, right = contract.window
    if isinstance(default, (tuple, list)):
        return (left, right) if None not in default else (_none_for_all(left), _none_for_all(right))
    return left + 1 if right == 0 or contract.causal not in (None, "no") else left


def _side(at: int) -> _Value:
    """Return how many keys are seen on one side of the own place; -1 for all of them, or None where that is the default."""

    def value(contract: Contract, d_k: int, default: Any) -> Any:
        if contract.window is None:
            return UNDECLARED
        return _none_for_all(contract.window[at]) if default is None else contract.window[at]

    return value


def _none_for_all(side: int) -> int | None:
    return None if side < 0 else side


def _default_of(parameter: inspect.Parameter) -> Any:
    """Return the default of an option, None where it has none; a window that is annotated as a pair is one of (None, None)."""
    default = None if parameter.default is parameter.empty else parameter.default
    return (None, None) if default is None and "uple" in str(parameter.annotation) else default


def _scale(contract: Contract, d_k: int, default: Any) -> Any:
    if contract.scale is None:
        return UNDECLARED
    return True if default is False else contract.formula.factor(d_k)


def _squared_scale(contract: Contract, d_k: int, default: Any) -> Any:
    """Return what becomes the scale as x ** -0.5, to the last digit where a whole number does."""
    if contract.scale is None:
        return d_k
    factor = contract.formula.factor(d_k)
    whole = round(factor**-2)
    return whole if whole and whole**-0.5 == factor else factor**-2


def _where(holds: Callable[[Contract], bool]) -> _Value:
    return lambda contract, d_k, default: True if holds(contract) else UNDECLARED


def _number_of_sinks(contract: Contract) -> bool:
    return contract.sinks is not None and contract.sinks == 0


_VALUES: tuple[tuple[Collection[str], _Value], ...] = (
    (ROTARY_BASE, _rotary(lambda rotary, d_k: rotary.base)),
    (_FRACTION, _rotary(lambda rotary, d_k: rotary.fraction)),
    (_ROTATED, _rotary(lambda rotary, d_k: rotary.width(d_k))),
    (_INTERLEAVED, _rotary(lambda rotary, d_k: rotary.layout == "interleaved")),
    (_ROTATES, _rotary(lambda rotary, d_k: True)),
    (_WINDOW, _window),
    (_WINDOW_LEFT, _side(0)),
    (_WINDOW_RIGHT, _side(1)),
    (_SOFTCAP, lambda contract, d_k, default: UNDECLARED if contract.softcap is None else contract.softcap),
    (SCALE, _scale),
    (_SQUARED_SCALE, _squared_scale),
    (_ALIBI, _where(lambda contract: bool(contract.formula.distant))),
    (_SINKS, _where(lambda contract: contract.sinks == "learned")),
    (_OFF_BY_ONE, _where(_number_of_sinks)),
    (_GROUPED, _where(lambda contract: contract.kv_heads is not None)),
)
