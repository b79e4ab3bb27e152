"""Positions as arguments of a call: they are added to queries and keys, and not to values.

They are given in a few calls while the subject is read, alone and together, in as many tokens as there are queries or keys, and
next to a mask. On random numbers no two ways of adding them agree by chance.
"""

from __future__ import annotations

import inspect
from collections.abc import Collection
from dataclasses import dataclass, replace

from mhsa.introspect.readings.fit import SEEDS, Fit
from mhsa.introspect.readings.mistakes.wrong_positions import in_words, is_mistake
from mhsa.introspect.readings.options.position_calls import Effects, PositionReader, Setting
from mhsa.introspect.readings.options.position_names import positions_of, role_of_positions, usual_effects
from mhsa.introspect.surroundings.one_attention import OneAttention
from mhsa.records.errors import Question
from mhsa.records.understood import Understood
from mhsa.subject.adapters.module_adapter import ModuleAdapter
from mhsa.subject.adapters.several_calls import SeveralCalls
from mhsa.subject.signature import call_of
from mhsa.subject.subject import Subject

_MOST = 2  # arguments that are given together: those of queries and those of keys


@dataclass(frozen=True)
class _Read:
    """What is known of positions: what is wrong with them, which of them are judged, and where they are added, in words."""

    wrong: str = ""
    judged: tuple[str, ...] = ()
    said: tuple[str, ...] = ()


def with_positions(subject: Subject, accepted: Collection[str]) -> tuple[Subject, dict[str, str]]:
    """Return the subject with what is wrong with its positions, and a row for each argument of them that is judged.

    Args:
        subject: read; what is said of positions needs that it is exactly attention without them.
        accepted: what the user accepts as not judged, in the words of the verdict.

    Raises:
        Question: positions of queries or of keys change nothing, and the other ones are added.
    """
    adapter = subject.adapter
    if not isinstance(adapter, ModuleAdapter) or isinstance(adapter, SeveralCalls) or subject.wrong_call:
        return subject, {}
    every = positions_of(adapter)
    names = tuple(n for n in every if f"argument {n}" not in accepted)
    if not names or not Fit().without_mask(on_cpu := replace(subject, device="cpu")):
        return subject, {}
    read = _read(on_cpu, names, every)
    of_queries = tuple(n for n in names if role_of_positions(adapter, n) != "keys")
    if of_queries and not read.wrong and (alone := _without_keys(on_cpu)) is not None:
        left_out, without = f"without {adapter.signature.key}, ", _read(alone, of_queries, of_queries)
        judged = tuple(n for n in read.judged if n in without.judged or n not in of_queries)
        said = *read.said, *(f"{left_out}{words}" for words in without.said)
        read = _Read(f"{left_out}{without.wrong}" if without.wrong else "", judged, said)
    if read.wrong:
        return replace(subject, wrong_call=read.wrong), dict.fromkeys(names, "")
    understood = (*subject.understood, *(Understood("call", words, "fitted") for words in read.said))
    return replace(subject, understood=understood), dict.fromkeys(read.judged, "")


def _without_keys(subject: Subject) -> Subject | None:
    """Return the subject with its key left out, where that is self-attention: positions of queries are those of keys then."""
    adapter = subject.adapter
    assert isinstance(adapter, ModuleAdapter)
    signature, parameters = adapter.signature, inspect.signature(call_of(adapter.owner)).parameters
    names = [n for n in (signature.key, signature.value) if n is not None]
    if signature.as_list or not names or any(parameters[n].default is not None for n in names):
        return None
    mask = signature.own_mask or signature.mask
    alone = adapter.with_signature(replace(signature, key=None, value=None, mask=mask, own_mask=None))
    called = replace(subject, adapter=alone, caller=replace(subject.caller, adapter=alone))
    return called if Fit().without_mask(called) else None


def _read(subject: Subject, names: tuple[str, ...], every: tuple[str, ...]) -> _Read:
    """Return what is known of the positions ``names``; ``every`` are all that there are.

    Raises:
        Question: some change nothing, and others are added.
    """
    reader, adapter, fit = PositionReader(subject, every), subject.adapter, Fit()
    together = reader.effects(names) if len(names) <= _MOST else None
    if together is None:
        single = [reader.effects((name,)) for name in names] if len(names) > 1 else []
        mistakes = (_mistake(reader, *alone, every) for alone in single if alone is not None)
        return _Read(next(filter(None, mistakes), ""))
    setting, effects = together
    masked = adapter.takes_mask and not subject.contract.padded_queries and fit.with_mask(subject)
    hidden = replace(setting, masked=True)
    under_masks = reader.found(hidden) if masked else effects
    wrong = _mistake(reader, setting, effects, every) or (_mistake(reader, hidden, under_masks, every) if under_masks else "")
    if wrong:
        return _Read(wrong)
    usual = [n for n, effect in zip(names, effects, strict=True) if effect in usual_effects(reader.adapter, n, every)]
    if usual and not isinstance(adapter, OneAttention):  # what one attention of a layer does not read is for another one
        _ask_about_dropped(setting, effects)
    right = under_masks == effects and (
        len(names) == 1 or all(reader.agrees_alone(setting, effects, names.index(n)) for n in usual)
    )
    more = f"{', with masks' if masked else ''}{', alone and together' if len(names) > 1 else ''}"
    tried = [f"tried on {len(SEEDS)} inputs{more}" if right and n in usual else "not judged" for n in names]
    said = [
        f"{n}: positions {setting.form}, {in_words(effect)}, {how}"
        for n, effect, how in zip(names, effects, tried, strict=True)
    ]
    return _Read("", tuple(usual) if right else (), tuple(said))


def _ask_about_dropped(setting: Setting, effects: Effects) -> None:
    """Ask about positions that change nothing next to others that are added: they are dropped, or are there for others' sake.

    Raises:
        Question: there are such.
    """
    added = " and ".join(n for n, effect in zip(setting.names, effects, strict=True) if any(effect))
    for name in (n for n, effect in zip(setting.names, effects, strict=True) if not any(effect)):
        raise Question(
            f"argument {name} is of positions by its name, and changes nothing, while {added} is added as it must be. If it "
            f'must be added, that is wrong; not_judged = ["argument {name}"] accepts that nothing tries it'
        )


def _mistake(reader: PositionReader, setting: Setting, effects: Effects, every: tuple[str, ...]) -> str:
    """Return what is wrong with the positions that are given, where nobody means it so; ``every`` are all that there are."""
    adapter = reader.adapter
    for name, effect in zip(setting.names, effects, strict=True):
        may = usual_effects(adapter, name, every)
        explicit = adapter.inputs == "qkv" and role_of_positions(adapter, name) != ""
        if effect not in may and is_mistake(adapter.owner, name, effect, may, explicit=explicit):
            given, must = " and ".join(setting.names), " or ".join(in_words(each) for each in may)
            with_mask = " and a mask" if setting.masked else ""
            return (
                f"with {given}{with_mask} it is exactly attention where {name} is {in_words(effect)}; it must be {must} alone"
            )
    return ""
