"""Known bugs made under a formula that is not their own: what a diagnosis compares with where features are crossed.

A bug of plain attention replaces a step of the right module of the formula, and so does a bug of a feature that the formula
has, too. Some are another formula: a cap that is forgotten, a window that is one too long.
"""

from __future__ import annotations

import functools
import importlib
import math
import sys
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from torch import Tensor

from mhsa.bugs.diagnosis.crossed_steps import NEEDS, OF_CAPS, OTHER_FORMULAS, OTHER_STEPS
from mhsa.bugs.mutants.plain import Plain
from mhsa.bugs.mutants.registry import Mutant, declared, mutants
from mhsa.bugs.mutants.right_formula import Causal, Declared, Grouped, right_under
from mhsa.oracle.formula.fields import Rotary
from mhsa.oracle.formula.formula import PLAIN, Formula


@dataclass(frozen=True)
class Bug:
    """A known bug under a formula.

    Attributes:
        kind: its class.
        words: "what it computes; must what is declared", where those of the bug's own formula do not hold; or empty.
    """

    kind: type[Plain]
    words: str = ""


@functools.lru_cache(maxsize=4096, typed=True)  # the same classes for all subjects: what is known of a class is kept
def bug_under(name: str, value: float | None, formula: Formula) -> Bug | None:
    """Return a known bug as it is under a formula, with this value for its free constant; None where it is none there."""
    formula = _within_the_fill(formula)
    mutant = _by_name()[name]
    kind: type[Plain] = getattr(importlib.import_module(f"mhsa.bugs.mutants.{mutant.kind}"), name)
    bug = Bug(kind) if kind.mhsa_contract.formula == formula else _crossed(mutant, kind, formula)
    if bug is not None and value is not None:
        bug = replace(bug, kind=type(name, (bug.kind,), {mutant.free: value}))
    if bug is not None and bug.kind is not kind:
        _names[bug.kind] = repr((mutant.kind, name, value, formula))
    return bug


_names: dict[type[Plain], str] = {}  # of classes that were made; bug_under keeps the classes, too


def name_of(kind: type[Plain]) -> str | None:
    """Return a name of a class that is the same in every process; None for one that is not known."""
    if getattr(sys.modules.get(kind.__module__), kind.__qualname__, None) is kind:
        return f"{kind.__module__}.{kind.__qualname__}"
    if issubclass(kind, Declared) and kind is right_under(kind.formula):
        return f"right {kind.formula!r}"
    return _names.get(kind)


def bugs_under(formula: Formula) -> list[Mutant]:
    """Return the known bugs that can be made under a formula: of plain attention alone for that, else its own ones first."""
    if _within_the_fill(formula) == PLAIN:
        return mutants()
    return [mutant for mutant in (*declared(), *mutants()) if bug_under(mutant.name, None, formula) is not None]


def _within_the_fill(formula: Formula) -> Formula:
    """Return a formula that is the same as long as scores do not come near the fill: those of compared cases do not."""
    return replace(formula, fill=None)


@functools.cache
def _by_name() -> dict[str, Mutant]:
    return {mutant.name: mutant for mutant in (*mutants(), *declared())}


def _crossed(mutant: Mutant, kind: type[Plain], formula: Formula) -> Bug | None:
    if formula == PLAIN:
        return None
    if mutant.name in OTHER_FORMULAS:
        other = OTHER_FORMULAS[mutant.name](formula)
        if other is None or other == formula:
            return None
        return Bug(_made(mutant, (right_under(other),), formula), _said(other, formula))
    if mutant.name in OF_CAPS:
        if formula.softcap is None or formula.caps_bias:
            return None
        words = mutant.formula.replace("5", f"{formula.softcap:g}")  # which its own cap is
        return Bug(_made(mutant, (Declared,), formula, OF_CAPS[mutant.name]), words)
    if mutant.name in OTHER_STEPS:
        applies, steps = OTHER_STEPS[mutant.name]
        left = formula.window[0] if formula.window else 0
        words = f"i - {left} <= j; must be i + Tk - Tq - {left} <= j" if mutant.name == "WindowFromTheFirstKey" else ""
        return Bug(_made(mutant, (Declared,), formula, steps), words) if applies(formula) else None
    if issubclass(kind, Declared):
        return _of_declared(mutant, kind, formula)
    steps_of = [c for c in kind.__mro__[1:] if c not in Declared.__mro__]
    if steps_of or not _has(kind, formula):
        return None  # it is made of a right module with numbers of its own
    if _makes_parameters(kind) and (formula.shared or formula.sinks == "learned" or formula.qk_norm or formula.distant):
        return None
    words, steps = "", {}
    if mutant.kind == "scale" and formula.scale is not None:
        words = f"{mutant.formula.partition('; must ')[0]}; must be scores times {formula.scale}"
    if mutant.name == "ScaledTwice" and formula.scale is not None:
        words = f"softmax({formula.scale} Q K^T / sqrt(d_k)); must be softmax({formula.scale} Q K^T)"
        steps = {"scale": lambda self, k: self.formula.factor(self.d_k) / math.sqrt(self.d_k)}
    if mutant.of_masks and formula.positional:
        if [name for name in vars(kind) if not name.startswith("__")] != ["hidden"]:
            return None  # the mask that is given and that of places are one here
        steps = {"hidden": Plain.hidden, "softmax": functools.partialmethod(_of_a_given_mask, kind)}
    return Bug(_made(mutant, (kind, Declared), formula, steps), words)


def _of_a_given_mask(self: Any, kind: type[Plain], s: Tensor, mask: Tensor | None) -> Tensor:
    """Return the weights of a bug that takes the given mask for another one; the places hide what they must."""
    given = None if mask is None else ~kind.hidden(self, mask)[:, 0]
    return Declared.softmax(self, s, given)


def _has(kind: type[Plain], formula: Formula) -> bool:
    """Whether a formula has the features of a bug that is one of plain attention, of causality, of groups or of a bias."""
    own = kind.mhsa_contract.formula
    if issubclass(kind, Causal) and (own.causal != formula.causal or formula.window is not None):
        return False
    if issubclass(kind, Grouped) and not formula.shared:
        return False
    return own.bias in (None, formula.bias)


def _makes_parameters(kind: type[Plain]) -> bool:
    """Whether a bug makes parameters of its own, which need not be those that a formula needs."""
    return "prepare" in vars(kind) or "__init__" in vars(kind)


def _of_declared(mutant: Mutant, kind: type[Declared], formula: Formula) -> Bug | None:
    """Return a bug of rotations or norms under another formula that rotates or normalises alike."""
    own, more = kind.formula, {}
    if own.qk_norm is not None:
        norm = formula.qk_norm
        if norm is None or any(getattr(own.qk_norm, n) != getattr(norm, n) for n in ("kind", "over", "place")):
            return None
    if own.rotary is not None:
        needs = NEEDS.get(mutant.name)
        if formula.rotary is None or (needs is not None and not needs(formula, formula.rotary)):
            return None
        if kind.used is not None:
            changed = {f.name for f in fields(Rotary) if getattr(kind.used, f.name) != getattr(own.rotary, f.name)} - {"tables"}
            if not changed or any(getattr(formula.rotary, n) != getattr(own.rotary, n) for n in changed):
                return None
            more["used"] = replace(formula.rotary, **{n: getattr(kind.used, n) for n in changed})
    if own.rotary is None and own.qk_norm is None:
        return None
    return Bug(_made(mutant, (kind,), formula, more))


def _made(
    mutant: Mutant, bases: tuple[type[Any], ...], formula: Formula, steps: Mapping[str, Any] | None = None
) -> type[Plain]:
    """Return the class of a bug; it is judged as what the formula declares, whatever it computes."""
    contract = right_under(formula).mhsa_contract
    own = {} if mutant.name in OTHER_FORMULAS else {"formula": formula}
    made: type[Plain] = type(mutant.name, bases, {**own, "mhsa_contract": contract, **(steps or {})})
    return made


def _said(other: Formula, formula: Formula) -> str:
    """Return in which fields a formula differs from the declared one."""
    changed = [f.name for f in fields(Formula) if getattr(other, f.name) != getattr(formula, f.name)]
    return "; must be ".join(", ".join(f"{n} = {_short(getattr(x, n))}" for n in changed) for x in (other, formula))


def _short(value: Any) -> str:
    if isinstance(value, Rotary):
        return f"{value.layout}, base {value.base:g}"
    return str(list(value) if isinstance(value, tuple) else value)
