"""What the code itself says of the polarity of a mask: the name of the parameter, its annotation, the docstrings."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from mhsa.introspect.readings.masks.comments import comments_on_masks
from mhsa.records.conventions.values import MaskMeaning
from mhsa.records.names import HIDING, is_lengths
from mhsa.records.understood import Known
from mhsa.subject.adapters.adapter import Adapter
from mhsa.subject.adapters.function_adapter import FunctionAdapter
from mhsa.subject.adapters.module_adapter import ModuleAdapter
from mhsa.subject.signature import call_of

_SHOWN = r"\b(attend(s|ed)?|keep|kept|valid|allow(s|ed)?|real|visible|tokens?|unmasked|unpadded|included?|participates?)\b"
_SHOWN_BY_NOT = r"\b(not|non|never|un)[- ]?(be )?(masked|padd(ed|ing)|pad|ignored|hidden|blocked|excluded)\b"
_HIDDEN = (
    r"\b(mask(s|ed)?|invalid|ignored?|pad(s|ded|ding)?|hid(es?|den)|block(s|ed)?|exclude[ds]?|prevent(s|ed)?|disallow(s|ed)?)\b"
)
_HIDDEN_BY_NOT = r"\b(not|never|cannot|no|may not|must not)\b.{0,24}\b(attend(ed)?|allowed|valid|visible|kept)\b"
_TRUE, _FALSE = r"(?<![\w.-])(true|1(\.0)?|ones?|nonzero)(?![\w.])", r"(?<![\w.-])(false|0(\.0)?|zeros?)(?![\w.])"
_INDICATED_BY = r"\b(indicated|marked|denoted|represented|flagged|signalled)\s+(by|with|as)\W*$"  # ... by True
_ADDED = r"\badditive\b|\badded\b|\badds\b|-\s?inf|-1e\d|float mask"


@dataclass(frozen=True)
class Stated:
    """A meaning that the code states, and where."""

    meaning: MaskMeaning
    known: Known


def mask_parameter(adapter: Adapter) -> str:
    """Return the name of the parameter that the adapter gives the mask to; empty where it has no name of its own."""
    if isinstance(adapter, FunctionAdapter):
        return adapter.mask_name
    return adapter.signature.mask or "" if isinstance(adapter, ModuleAdapter) else ""


def stated_meaning(adapter: Adapter) -> Stated | None:
    """Return what docstrings, else the annotation, else the name of the mask's parameter, else comments say that it means."""
    name = mask_parameter(adapter)
    if not name:
        return None
    if is_lengths(name):
        return Stated("lengths", "named")
    said = {meaning for text in about(adapter, name) for meaning in _meanings(text)}
    if len(said) == 1:
        return Stated(said.pop(), "documented")
    annotation = str(_annotation(adapter, name))
    if re.search(r"(Float|Half|Double)Tensor", annotation):
        return Stated("additive", "annotated")
    if "pad" in name.lower() or name.lower() in HIDING:  # named after what it marks, as torch's key_padding_mask
        return Stated("blocked", "named")
    commented = {meaning for text in comments_on_masks(adapter) for meaning in _polarities(text)}
    return Stated(commented.pop(), "documented") if len(commented) == 1 else None


def about(adapter: Adapter, name: str) -> Iterator[str]:
    """Yield what docstrings say of a parameter: the line with its name, and the lines below that are further in."""
    for owner in _owners(adapter):
        lines = (inspect.getdoc(owner) or "").splitlines()
        for n, line in enumerate(lines):
            if not re.search(rf"(?<!\w){re.escape(name)}(?!\w)", line):
                continue
            depth = len(line) - len(line.lstrip())
            below = []
            for other in lines[n + 1 :]:
                if not other.strip() or len(other) - len(other.lstrip()) <= depth:
                    break
                below.append(other.strip())
            yield " ".join([line[line.index(name) + len(name) :].strip(), *below])


def _owners(adapter: Adapter) -> list[Any]:
    if isinstance(adapter, FunctionAdapter):
        return [adapter.function]
    return [adapter.owner, call_of(adapter.owner)] if isinstance(adapter, ModuleAdapter) else []


def _annotation(adapter: Adapter, name: str) -> Any:
    owners = [owner for owner in _owners(adapter) if callable(owner) and not isinstance(owner, type)]
    function: Callable[..., Any] | None = next(iter(owners), None)
    try:
        return inspect.signature(function).parameters[name].annotation if function else ""
    except (TypeError, ValueError, KeyError):
        return ""


def _meanings(text: str) -> Iterator[MaskMeaning]:
    if re.search(_ADDED, text, re.IGNORECASE):
        yield "additive"
        if not re.search(r"\b(true|bool)", text, re.IGNORECASE):
            return
    yield from _polarities(text)


def _polarities(text: str) -> Iterator[MaskMeaning]:
    for clause in re.split(r"[.,;()]|\b(?:and|while|but|else|otherwise)\b", text):
        true, false = (re.search(words, clause, re.IGNORECASE) for words in (_TRUE, _FALSE))
        if bool(true) == bool(false):
            continue
        flag = true or false
        assert flag is not None
        rest = clause[: flag.start()] if re.search(_INDICATED_BY, clause[: flag.start()]) else clause[flag.end() :]
        shown = re.search(_SHOWN_BY_NOT, rest, re.IGNORECASE) is not None
        hidden = re.search(_HIDDEN_BY_NOT, rest, re.IGNORECASE) is not None
        if not (shown or hidden):
            hidden = re.search(_HIDDEN, rest, re.IGNORECASE) is not None
            shown = not hidden and re.search(_SHOWN, rest, re.IGNORECASE) is not None
        if shown or hidden:
            yield "allowed" if shown == bool(true) else "blocked"
