"""Which options of a constructor or a call are switches of causality, and what they give in their other position."""

from __future__ import annotations

import copy
import functools
import inspect
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from mhsa.introspect.readings.fit import SEEDS, Fit
from mhsa.introspect.readings.options.triangles import TRIANGLE, hides_with_triangle, sees_some_later_keys
from mhsa.oracle.formula.fields import Causal
from mhsa.records.understood import Understood
from mhsa.source.written_code import named_in, source_of, written_owners
from mhsa.subject import check
from mhsa.subject.adapters.function_adapter import FunctionAdapter
from mhsa.subject.adapters.module_adapter import ModuleAdapter
from mhsa.subject.adapters.several_calls import OfOneLength
from mhsa.subject.construction.declared_options import is_causality
from mhsa.subject.docstrings.causal_alignment import stated_alignment
from mhsa.subject.generic_inputs import generic_case, is_exact
from mhsa.subject.signature import call_of
from mhsa.subject.subject import Subject, Switch
from mhsa.subject.trial import Trial

# Of names other than the usual ones the docstring must say what the switch does.
_SAID = re.compile(
    r"causal|auto-?regressive|look[- ]?ahead|future|upper triang|lower triang|triangular|subsequent", re.IGNORECASE
)
# Of a constructor this may be one, and it is judged where it fits exactly; the second next to a triangle in its source.
_CALLED_MASK = re.compile(r"(is_|use_|with_|apply_|add_)?mask(ed|ing|_flag)?", re.IGNORECASE)
_MASKS = re.compile(r"(^|_)(mask|masked|masking|hide|block)(_|$)|decoder", re.IGNORECASE)
_BACKWARDS = re.compile(
    r"\b(before|previous|past|earlier|backwards?|right[- _]to[- _]left)\b|revers|anti[- _]?causal", re.IGNORECASE
)


@dataclass(frozen=True)
class _Option:
    """A switch, where it is, and its default."""

    name: str
    where: str  # "constructor argument" or "argument"
    default: bool
    sure: bool = True  # whether its name or docstring says that it is about causality, and not its use alone
    given: bool = False  # it is given what is declared: its default, which may mean anything, is judged only where it fits


def read_switches(subject: Subject) -> tuple[tuple[Switch, ...], tuple[Understood, ...], dict[str, str]]:
    """Return the switches to judge in their other position, what is understood of them, and why others are not judged.

    A switch that is called causal, by its name or its docstring, must make the implementation causal, and one that is on by
    default must not, once it is off. That of a call may be a mere hint at what the mask says, as torch's is: where it changes
    nothing, it is not judged.
    """
    adapter = subject.adapter
    if type(adapter) is not FunctionAdapter and not (isinstance(adapter, ModuleAdapter) and adapter.judges_switches):
        return (), (), {}
    switches, understood, left = [], [], {}
    for option in _options(subject):
        words = f"{option.name}={not option.default}"
        turned = _turned(subject, option)
        stated = stated_alignment(subject.adapter)
        found, error = _fitting(subject, turned, words, option, stated)
        if (option.given or (option.default and _is_open(subject))) and found is None:
            left[option.name] = f"{option.where} {words}"
        elif error:
            left[option.name] = f"{option.where} {option.name}: with {words} it raises {error}"
        elif found is not None:
            does = "attends to later tokens, too" if option.default else f"is causal ({found.contract.causal})"
            part = "constructor" if option.where.startswith("constructor") else "call"
            understood.append(Understood(part, f"{words}: {does}, and is judged so in some of the cases", "fitted"))
        elif not option.sure and not _hides_from_one_end(subject, turned, option):
            left[option.name] = f"{option.where} {option.name}: with {words} it is not exactly causal attention"
        elif option.where == "argument" and Fit().without_mask(Switch(words, turned, subject.contract).of(subject)):
            understood.append(Understood("call", f"{words} changes nothing without a mask, and is not judged", "fitted"))
        else:
            wanted: Causal = "no" if option.default else stated or "top-left"
            found = Switch(words, turned, replace(subject.contract, causal=wanted), square=stated is None)
        if found is not None:
            switches.append(found)
            left.setdefault(option.name, "")
    return tuple(switches), tuple(understood), left


def _options(subject: Subject) -> Iterator[_Option]:
    adapter = subject.adapter
    causal = subject.contract.causal not in (None, "no")
    if isinstance(adapter, FunctionAdapter) and causal:
        given = adapter.options(subject.features(1)).values
        yield from (_Option(n, "argument", default=True, given=True) for n in given if is_causality(n))
    places: list[tuple[str, Any, set[str]]] = []
    if isinstance(adapter, FunctionAdapter):
        places.append(("argument", adapter.function, set(adapter.not_given)))
    elif isinstance(adapter, ModuleAdapter):
        if adapter.constructor is not None:
            places.append(("constructor argument", adapter.constructor.target, adapter.constructor.switched_off))
        places.append(("argument", call_of(adapter.owner), set(adapter.not_given)))
    for where, function, free in places:
        try:
            parameters = inspect.signature(function).parameters
        except (TypeError, ValueError):  # of a built-in function, say
            continue
        for name, parameter in parameters.items():
            default = False if parameter.default is parameter.empty else parameter.default
            named = is_causality(name) or _says(function, name)
            by_use = where.startswith("constructor") and _may_be_causality(function, name)
            if name in free and type(default) is bool and default == causal and (named or by_use):
                yield _Option(name, where, default, named)


def _may_be_causality(target: Any, name: str) -> bool:
    """Whether an option of a constructor may be a switch of causality, though nothing says so."""
    if _CALLED_MASK.fullmatch(name) is not None or (_MASKS.search(name) is not None and _makes_triangles(target)):
        return True
    return hides_with_triangle(target, name)


def _makes_triangles(target: Any) -> bool:
    """Whether a class, its bases or a function of the file that these call makes a triangle, as a causal mask is."""
    return any(TRIANGLE.search(source_of(each)) for each in (*written_owners(target), *named_in(target)))


def _says(function: Any, name: str) -> bool:
    """Whether a docstring says of a parameter that it is about causality."""
    texts = [inspect.getdoc(function) or "", inspect.getdoc(getattr(function, "__init__", None)) or ""]
    lines = [
        line for text in texts for line in text.splitlines() if re.search(rf"(?<!\w){re.escape(name)}(?!\w)\s*[:(\-]", line)
    ]
    return any(_SAID.search(line) for line in lines)


def _turned(subject: Subject, option: _Option) -> Any:
    """Return the adapter with the switch in its other position."""
    adapter: Any = copy.copy(subject.adapter)
    value = not option.default
    if isinstance(adapter, FunctionAdapter):
        if not option.given:
            adapter.function = functools.partial(adapter.function, **{option.name: value})
        adapter.contract = replace(adapter.contract, causal=None if value else "no")  # no option is given that contradicts it
    elif option.where == "argument":
        adapter.also = adapter.also | {option.name: value}
    else:
        adapter.options = adapter.options | {option.name: value}
    return adapter


def _fitting(
    subject: Subject, turned: Any, words: str, option: _Option, stated: Causal | None
) -> tuple[Switch | None, str]:  # fmt: skip
    """Return the switch as it fits exactly, or the error that it raises."""
    fit = Fit()
    positions: tuple[Causal, ...] = ("no",) if option.default else (stated,) if stated else ("top-left", "bottom-right")
    wanted = [replace(subject.contract, causal=causal) for causal in positions]
    window = subject.contract.window
    if option.default and window is not None and window[0] >= 0 and window[1] == 0:  # causality alone may hide later keys
        wanted.append(replace(wanted[0], window=(window[0], -1)))
    for contract in () if isinstance(turned, OfOneLength) else wanted:  # its groups of queries have places of their own
        switch = Switch(words, turned, contract)
        if fit.without_mask(switch.of(subject)):
            return switch, ""
    switch = Switch(words, turned, wanted[0], square=True)
    if stated and not option.default and fit.is_taken_without_mask(switch.of(subject)):
        return None, ""  # it returns where there are more keys than queries, and is not aligned as it says
    try:
        return (switch if all(_fits_square(switch.of(subject), seed) for seed in SEEDS) else None), ""
    except (check.Violation, check.Inapplicable) as error:
        return None, _raised(error)


def _is_open(subject: Subject) -> bool:
    """Whether the formula has a window or distances, of which nothing says what they are without causality."""
    return subject.contract.window is not None or bool(subject.contract.formula.distant)


def _fits_square(subject: Subject, seed: int) -> bool:
    """Whether the output is exact where there are as many queries as keys."""
    case = generic_case(subject, seed=seed)
    answer = Trial(subject, case.resized(query_length=case.key_length), counted=False)()
    return is_exact(answer.output, answer.expected.output)


def _hides_from_one_end(subject: Subject, turned: Any, option: _Option) -> bool:
    """Whether a switch of masks that makes triangles leaves exactly one of the first and the last query unchanged.

    A causal mask leaves the last one, also if it is off by one place or applied in a wrong way. One that is reversed leaves the
    first one, where no word says that earlier tokens shall be hidden. Of another name it must be off by one place, or by two.
    """
    constructor = subject.adapter.constructor if isinstance(subject.adapter, ModuleAdapter) else None
    if option.default or constructor is None or not _makes_triangles(constructor.target):
        return False
    of_masks = _CALLED_MASK.fullmatch(option.name) is not None
    if not of_masks and not hides_with_triangle(constructor.target, option.name):
        return False
    case = generic_case(subject)
    try:
        asked = Switch(option.name, turned, subject.contract).of(subject)
        trial = Trial(asked, case.resized(query_length=case.key_length), counted=False)
        answer = trial()
    except (check.Violation, check.Inapplicable):
        return False
    if not of_masks:
        return sees_some_later_keys(trial, answer.output)
    required = answer.expected.output
    last, first = (is_exact(answer.output[:, at], required[:, at]) for at in (-1, 0))
    return bool(last and not first) or bool(first and not last and not _looks_back(constructor.target))


def _looks_back(target: Any) -> bool:
    """Whether the source of a class has words by which earlier tokens may be hidden."""
    try:
        return _BACKWARDS.search(source_of(target)) is not None
    except (OSError, TypeError):
        return True


def _raised(error: BaseException) -> str:
    """Return the name of the exception that the implementation raised; empty where it answered in another form."""
    facts = error.facts if isinstance(error, check.Violation) else {}
    return str(facts["observed"]).partition(":")[0].partition(" ")[0] if "raised" in facts else ""
