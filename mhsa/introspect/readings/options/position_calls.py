"""Calls with positions: what they give, and the way of adding these to queries, keys and values that gives the same."""

from __future__ import annotations

import copy
import itertools
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch

from mhsa.introspect.readings.fit import SEEDS
from mhsa.introspect.readings.mistakes.wrong_positions import EFFECTS, Effect
from mhsa.introspect.readings.options.position_names import usual_effects
from mhsa.oracle.bounded import Array
from mhsa.subject import check
from mhsa.subject.adapters.module_adapter import ModuleAdapter
from mhsa.subject.adapters.several_calls import is_square
from mhsa.subject.answer import Mask
from mhsa.subject.generic_inputs import generic_case, hiding, is_exact
from mhsa.subject.subject import Subject
from mhsa.subject.trial import Trial

Form = Literal["[B, T, D]", "[1, T, D]", "[T, D]"]
_FORMS: tuple[Form, ...] = ("[B, T, D]", "[1, T, D]", "[T, D]")
Effects = tuple[Effect, ...]  # of each argument that is given


@dataclass(frozen=True)
class Setting:
    """How positions are given: which arguments, whose tokens they have, and whether a mask is given, too."""

    names: tuple[str, ...]
    lengths: tuple[str, ...]  # "queries" or "keys"
    square: bool
    masked: bool = False
    form: Form = "[B, T, D]"


class PositionReader:
    """Calls a subject with positions, and compares what it gives with attention where they are added in one way."""

    def __init__(self, subject: Subject, every: tuple[str, ...]) -> None:
        self.subject, self.every = subject, every
        self.square = is_square(subject.adapter)
        self._calls: dict[tuple[Setting, int], tuple[Trial, Mask | None, list[Array], Array] | None] = {}

    @property
    def adapter(self) -> ModuleAdapter:
        """What calls the subject."""
        assert isinstance(self.subject.adapter, ModuleAdapter)
        return self.subject.adapter

    def effects(self, names: tuple[str, ...]) -> tuple[Setting, Effects] | None:
        """Return how positions are given, and where they are added, with as many keys as queries and with other numbers."""
        for form, lengths in itertools.product(_FORMS, self._lengths(names)):
            settings = [Setting(names, lengths, square, form=form) for square in ((True,) if self.square else (False, True))]
            taken = [setting for setting in settings if self._called(setting, 0) is not None]
            found = self.found(taken[0]) if taken else None
            if found is not None and all(self.agrees(setting, found) for setting in taken[1:]):
                return taken[0], found
        return None

    def fits(self, setting: Setting, effects: Effects) -> bool:
        """Whether it gives attention with positions that are added so."""
        return all(self._is(setting, seed, effects) for seed in SEEDS)

    def agrees(self, setting: Setting, effects: Effects) -> bool:
        """Whether it gives that; one argument, of queries, may be that of as many keys, too, which have none of their own."""
        return self.fits(setting, effects) or (effects == ((1, 0, 0),) and self.fits(setting, ((1, 1, 0),)))

    def agrees_alone(self, setting: Setting, effects: Effects, at: int) -> bool:
        """Whether it agrees with one argument alone."""
        alone = replace(setting, names=(setting.names[at],), lengths=(setting.lengths[at],))
        return self.agrees(alone, (effects[at],))

    def _lengths(self, names: tuple[str, ...]) -> list[tuple[str, ...]]:
        """Return which tokens each argument may have positions of, as the names say it first."""
        if self.square:
            return [("queries",) * len(names)]
        first = ["keys" if (0, 1, 0) in usual_effects(self.adapter, n, self.every) else "queries" for n in names]
        return list(dict.fromkeys((tuple(first), *itertools.product(("queries", "keys"), repeat=len(names)))))

    def found(self, setting: Setting) -> Effects | None:
        """Return where the positions are added, the usual way first."""
        ways = sorted(itertools.product(EFFECTS, repeat=len(setting.names)), key=lambda way: sum(map(EFFECTS.index, way)))
        for effects in ways:
            if self._is(setting, 0, effects) and self.fits(setting, effects):
                return effects
        return None

    def _is(self, setting: Setting, seed: int, effects: Effects) -> bool:
        called = self._called(setting, seed)
        if called is None:
            return False
        trial, mask, positions, output = called
        tensors = [trial.query, trial.key, trial.value]
        for role, tensor in enumerate(tensors):
            for given, effect in zip(positions, effects, strict=True):
                if effect[role] and given.shape[1] != tensor.shape[1]:
                    return False
                tensors[role] = tensors[role] + effect[role] * given if effect[role] else tensors[role]
        query, key, value = tensors
        expected = trial.predict(query, key, value, trial.projections, trial.effective(mask, query, key), trial.bias)
        return is_exact(output, expected.output)

    def _called(self, setting: Setting, seed: int) -> tuple[Trial, Mask | None, list[Array], Array] | None:
        if (setting, seed) not in self._calls:
            self._calls[setting, seed] = self._call(setting, seed)
        return self._calls[setting, seed]

    def _call(self, setting: Setting, seed: int) -> tuple[Trial, Mask | None, list[Array], Array] | None:
        """Return the trial, its mask, the positions as they are added, and the output; None where the call raises."""
        case = generic_case(self.subject, seed=seed)
        case = replace(case, query_length=case.key_length) if setting.square else case
        shape = (case.batch, case.query_length, case.key_length)
        rng = np.random.Generator(np.random.Philox(key=seed))
        adapter = copy.copy(self.adapter)
        positions, adapter.also = [], dict(adapter.also)
        laid = self.subject.caller.layout
        try:
            for name, of in zip(setting.names, setting.lengths, strict=True):
                samples = case.batch if setting.form == "[B, T, D]" else 1
                queries, keys = (rng.standard_normal((samples, n, case.head * case.d_k)) for n in shape[1:])
                given = laid.give(*map(torch.tensor, (queries, keys, keys)), masked=setting.masked)[of == "keys"]
                adapter.also[name] = given[0] if setting.form == "[T, D]" else given
                positions.append(keys if of == "keys" else queries)
            trial = Trial(self.subject, case, counted=False)
            trial.subject = replace(self.subject, adapter=adapter, caller=replace(self.subject.caller, adapter=adapter))
            mask = trial.opened(hiding(shape, seed, self.subject.contract) if setting.masked else None)
            return trial, mask, positions, trial(mask=mask).output
        except (check.Violation, check.Inapplicable, RuntimeError, ValueError, IndexError):  # it means something else
            return None
