"""Known bugs under other formulas than their own: those that are another formula, and the steps that others replace."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mhsa.bugs.mutants.right_formula import Declared
from mhsa.bugs.mutants.rotary import RotaryInterleaved
from mhsa.oracle.formula.fields import Rotary
from mhsa.oracle.formula.formula import Formula

_Other = Callable[[Formula], Formula | None]  # what is computed where a formula is declared; None where it cannot be


def _without(name: str, usual: Any = None) -> _Other:
    return lambda formula: replace(formula, **{name: usual}) if getattr(formula, name) not in (usual, None) else None


def _window(left: int = 0, right: int | None = None) -> _Other:
    """Return the formula with a window that is longer on the left, or ends elsewhere on the right."""

    def other(formula: Formula) -> Formula | None:
        if formula.window is None or formula.window[0] + left < 0 or formula.window[0] < 0:
            return None
        return replace(formula, window=(formula.window[0] + left, formula.window[1] if right is None else right))

    return other


def _aligned(declared_as: str, computed_as: Any) -> _Other:
    return lambda formula: replace(formula, causal=computed_as) if formula.causal == declared_as else None


OTHER_FORMULAS: dict[str, _Other] = {
    "CausalForgotten": _without("causal", "no"),
    "AlignedAtTheBeginning": _aligned("bottom-right", "top-left"),
    "AlignedAtTheEnd": _aligned("top-left", "bottom-right"),
    "WindowOneTooLong": _window(1),
    "WindowOneTooShort": _window(-1),
    "WindowWithoutItsRight": _window(right=0),
    "WindowForgotten": lambda formula: replace(formula, window=None) if formula.causal != "no" else None,
    "CapForgotten": _without("softcap"),
    "ScaledByRoot": _without("scale"),
    "DistanceForgotten": lambda formula: replace(formula, bias=None) if formula.bias in ("alibi", "alibi-geometric") else None,
    "RotaryForgotten": _without("rotary"),
    "SinkForgotten": _without("sinks"),
    "SlopesOfEveryNumber": lambda formula: replace(formula, bias="alibi-geometric") if formula.bias == "alibi" else None,
}


# What bugs of rotations need of a formula, in addition to a rotation.
NEEDS: dict[str, Callable[[Formula, Rotary], bool]] = {
    "OffsetForgottenForKeys": lambda formula, rotary: rotary.offset == RotaryInterleaved.formula.rotary.offset,  # type: ignore[union-attr]
    "QueriesFromZero": lambda formula, rotary: formula.causal == "bottom-right",
    "FrequenciesOfTheWholeHead": lambda formula, rotary: rotary.fraction < 1.0,
}


def _clamped(self: Any, s: Tensor) -> Tensor:
    return s.clamp(-self.formula.softcap, self.formula.softcap)


def _not_scaled_back(self: Any, s: Tensor) -> Tensor:
    return torch.tanh(s / self.formula.softcap)


def _capped_after_the_mask(self: Any, s: Tensor, mask: Tensor | None) -> Tensor:
    seen = self.seen(s.size(-2), s.size(-1)).to(s.device)[None]
    seen = seen if mask is None else seen & (mask != 0)
    s = s.masked_fill(~seen[:, None], -self.formula.softcap)
    more = s[..., :0] if self.formula.sinks is None else self.sink(s)
    return torch.cat([s, more], -1).softmax(-1)[..., : s.size(-1)]


def _given_back(self: Any, s: Tensor, mask: Tensor | None) -> Tensor:
    w = Declared.softmax(self, s, mask)
    total = w.sum(-1, keepdim=True)
    return w / torch.where(total == 0.0, 1.0, total)


def _not_shifted(self: Any, s: Tensor, mask: Tensor | None) -> Tensor:
    seen = self.seen(s.size(-2), s.size(-1)).to(s.device)[None]
    s = s.masked_fill(~(seen if mask is None else seen & (mask != 0))[:, None], -torch.inf)
    top = s.amax(-1, keepdim=True)
    e = (s - torch.where(top.isinf(), 0.0, top)).exp()
    sink: Tensor = self.sink(s)
    return e / (sink.exp() + e.sum(-1, keepdim=True))


def _has_sinks(formula: Formula) -> bool:
    return formula.sinks is not None


def _is_off_by_one(formula: Formula) -> bool:
    return formula.sinks is not None and formula.sinks == 0.0


def _learns_sinks(formula: Formula) -> bool:
    return formula.sinks == "learned"


def _has_slopes(formula: Formula) -> bool:
    return formula.bias in ("alibi", "alibi-geometric")


def _has_a_window_at_the_end(formula: Formula) -> bool:
    return formula.causal == "bottom-right" and formula.window is not None and formula.window[0] >= 0


def _from_the_first_key(self: Any, queries: int, keys: int) -> Tensor:
    left, right = self.formula.window
    seen = replace(self.formula, window=(-1, right) if right >= 0 else None).visible(queries, keys)
    return torch.from_numpy(seen) & torch.ones(queries, keys, dtype=torch.bool).triu(-left)


def _is_at_the_end(formula: Formula) -> bool:
    return _has_slopes(formula) and formula.causal == "bottom-right"


# By bug: whether a formula can have it, and the steps of the right module that it replaces.
OTHER_STEPS: dict[str, tuple[Callable[[Formula], bool], dict[str, Any]]] = {
    "SinkCountedTwice": (_has_sinks, {"sink": lambda self, s: Declared.sink(self, s) + math.log(2.0)}),
    "SinkOfTheFirstHead": (_learns_sinks, {"sink": lambda self, s: Declared.sink(self, s)[:, :1].expand(*s.shape[:3], 1)}),
    "SinkScaled": (_has_sinks, {"sink": lambda self, s: Declared.sink(self, s) * self.scale(s)}),
    "SinkGetsNoGradient": (_learns_sinks, {"sink": lambda self, s: Declared.sink(self, s).detach()}),
    "SinkNotShiftedByTheMaximum": (_is_off_by_one, {"softmax": _not_shifted}),
    "SinkGivenBack": (_has_sinks, {"softmax": _given_back}),
    "SlopesFromZero": (_has_slopes, {"slopes": lambda self: 2.0 ** (-8.0 * np.arange(self.head) / self.head)}),
    "OneSlopeForAll": (_has_slopes, {"slopes": lambda self: np.repeat(Declared.slopes(self)[:1], self.head)}),
    "DistanceAdded": (_has_slopes, {"taken": lambda self, s: -Declared.taken(self, s)}),
    "DistanceScaled": (_has_slopes, {"taken": lambda self, s: Declared.taken(self, s) * self.scale(s)}),
    "WindowFromTheFirstKey": (_has_a_window_at_the_end, {"seen": _from_the_first_key}),
    "DistanceFromTheBeginning": (_is_at_the_end, {"own": lambda self, queries, keys: np.arange(queries)}),
}

OF_CAPS: dict[str, dict[str, Any]] = {
    "CapClamps": {"capped": _clamped},
    "CapNotScaledBack": {"capped": _not_scaled_back},
    "CappedAfterTheMask": {"softmax": _capped_after_the_mask},
    "ScaledAfterTheCap": {"capped": lambda self, s: Declared.capped(self, s / self.scale(s)) * self.scale(s)},
}
