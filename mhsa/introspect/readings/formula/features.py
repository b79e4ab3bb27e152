"""An implementation that is exactly right but for one feature of its own: it is asked whether that is meant."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from torch import nn
from torch.nn.modules.conv import _ConvNd

from mhsa.introspect.readings.fit import Fit
from mhsa.introspect.readings.formula.undeclared_windows import window_in_source
from mhsa.records.declarations import in_words
from mhsa.records.errors import Question
from mhsa.source.written_code import source_of
from mhsa.subject import check
from mhsa.subject.adapters.function_adapter import FunctionAdapter
from mhsa.subject.adapters.several_calls import EachQueryAlone
from mhsa.subject.docstrings.passages import text_of
from mhsa.subject.forms.given_weights import GivenWeights
from mhsa.subject.generic_inputs import generic_case, is_exact
from mhsa.subject.subject import Subject
from mhsa.subject.trial import Trial

_CAP = re.compile(r"soft_?cap|(logits?|scores?|attn)_?(soft)?_?cap|(?<![a-z])cap(?![a-z])", re.IGNORECASE)
_SCALE = re.compile(r"scal|sqrt|\*\*|\bpow\b|temper|norm_fact|divi", re.IGNORECASE)
# Words by which a docstring promises the paper's slopes where their number is no power of two, too; and words against it.
_ANY_HEADS = re.compile(
    r"\bany (number|count) of heads\b|\bany head count\b|\bnon-?\s?powers?\b|\b(not|no) (a )?powers? of (2|two)\b"
    r"|\b(official|released|reference) (get_slopes|slopes|implementation)\b",
    re.IGNORECASE,
)
_SIMPLE = re.compile(r"\b(simple|simplified|geometric|unlike|only|must|not supported)\b", re.IGNORECASE)
_MOST = 24  # constants of a source that are tried as a soft cap: a file with more of them is no attention module alone
_POWER_OF_TWO = 8
_OTHER_HEADS = 6  # no power of two: there the two kinds of ALiBi slopes differ, and a cap that is the number of heads does


def ask_about_features(subject: Subject, module: nn.Module, fit: Fit) -> None:
    """Compare with the oracle under each feature that is not declared, by itself and in causal attention.

    Who declares causal = "no" has said what is computed, and is asked nothing.

    Raises:
        Question: the output without a mask is exactly that of the formula with one of them.
    """
    contract = subject.contract
    if contract.causal == "no":
        return
    for fields in _features(subject, module):
        for aligned in ({}, {"causal": "top-left"}) if contract.causal is None else ({},):
            declared: dict[str, Any] = {**aligned, **fields}
            if any(getattr(contract, name) is not None for name in declared):
                continue  # it is declared what it computes
            read = _under(subject, declared)
            if fit.without_mask(read) and _fits_other_heads(read):
                window = window_in_source(read)
                held = declared | ({"window": tuple(window["window"])} if window else {})
                declared |= window
                words = "; ".join(replace(contract, **held).formula.words)
                asked = f"without a mask its output is exactly that of {in_words(declared)}: {words}"
                if fields.get("bias") == "alibi-geometric" and _promises_any_heads(text_of(subject.adapter)):
                    declared["bias"] = "alibi"
                    asked += "; its docstring promises the paper's slopes, which these are for powers of two alone"
                raise Question(asked, declared)


def soft_caps(subject: Subject, module: nn.Module) -> tuple[dict[str, Any], ...]:
    """Return declarations of soft caps to try, after none: with numbers of a source that speaks of one."""
    return ({}, *(fields for fields in _features(subject, module) if "softcap" in fields))


def _under(subject: Subject, fields: dict[str, Any]) -> Subject:
    return subject.under(replace(subject.contract, **fields))


def _features(subject: Subject, module: nn.Module) -> Iterator[dict[str, Any]]:
    """Yield declarations to try, the commonest first; a soft cap where the source speaks of one, with a number from there."""
    yield {"bias": "alibi"}
    yield {"bias": "alibi-geometric"}
    yield {"sinks": 0.0}
    source = _source(subject, module)
    if not _SCALE.search(source) and _is_unscaled_by_design(subject, module):
        yield {"scale": 1.0}
    if "tanh" in source and _CAP.search(source):
        for constant in subject.constants[:_MOST]:
            if constant > 0:
                yield {"softcap": float(constant)}


def _promises_any_heads(text: str) -> bool:
    return _ANY_HEADS.search(" ".join(text.split())) is not None and not _SIMPLE.search(text)


def _is_unscaled_by_design(subject: Subject, module: nn.Module) -> bool:
    """Whether an attention without a scale is one that the field has without: elsewhere a missing scale is a frequent bug.

    Such are attention over pixels by convolutions with a learned factor of its output (SAGAN, DANet), the products of one
    state of a decoder with those of an encoder, without any parameter (Luong), and functions of one tensor without any: the
    first step of many lessons.
    """
    parts = list(module.modules())
    numbers = [x for x in module.parameters() if x.numel() == 1]
    if any(isinstance(part, _ConvNd) for part in parts) and numbers:
        return True
    of_one_tensor = isinstance(module, GivenWeights) and subject.adapter.inputs == "x"
    return (isinstance(subject.adapter, EachQueryAlone) or of_one_tensor) and not any(True for _ in module.parameters())


def _source(subject: Subject, module: nn.Module) -> str:
    owner = subject.adapter.function if isinstance(subject.adapter, FunctionAdapter) else type(module)
    owner = module.function if isinstance(module, GivenWeights) else owner
    try:
        return source_of(inspect.unwrap(owner))
    except (TypeError, OSError):
        return ""


def _fits_other_heads(subject: Subject) -> bool:
    """Whether it is exact with another number of heads, too, where it can be built so."""
    if subject.adapter.sizes is not None:
        return True
    for head in (_OTHER_HEADS, _POWER_OF_TWO):  # what takes powers of two alone is not built with others
        try:
            answer = Trial(subject, replace(generic_case(subject), head=head), counted=False)()
        except (check.Violation, check.Inapplicable):
            continue
        return is_exact(answer.output, answer.expected.output)
    return False
