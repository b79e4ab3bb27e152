"""Arguments that no name tells: values are tried, and the first with which a subject can be called is taken."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import NoReturn

from mhsa.records.errors import Question
from mhsa.subject.construction.argument_roles import Role, role_of
from mhsa.subject.construction.built_sizes import runs
from mhsa.subject.construction.constructor_call import ConstructorCall
from mhsa.subject.construction.find_sizes import FIRST_SIZES, OTHER_SIZES, is_built, settle_sizes
from mhsa.subject.construction.guess import Guess
from mhsa.subject.construction.guesses import combinations, guesses, is_established, optional_guesses
from mhsa.subject.construction.how_to_state import FACTORY, how_to_state
from mhsa.subject.construction.parameters import Parameters

_SECONDS = 10.0  # that trials take at most: a constructor of a usual size takes a hundredth


def try_guesses(call: ConstructorCall, unknown: Sequence[str]) -> None:
    """Try values for what is not known by name: the first with which it can be called, else with which it is built.

    Raises:
        Question: it can be built with none of them.
    """
    before, stated = call.read, call.sizes
    choices: dict[str, list[Guess]] = {}
    for name in unknown:
        owner, _, field = name.rpartition(".")
        choices[name] = guesses(
            call.target, field, call.parameters.get(name) if not owner else None,
            sized=before.width or bool(call.configs), headed=before.head or bool(call.configs),
        )  # fmt: skip
    built: dict[str, Guess] | None = None
    end = time.monotonic() + _SECONDS
    for chosen in combinations(choices):
        if time.monotonic() > end:
            break
        call.sizes, call.reading = stated, "usual"
        _apply(call, chosen, before)
        try:
            settle_sizes(call)
            head, d_model = call.sizes or FIRST_SIZES
            module = call.build(head, d_model)
        except Exception:
            continue
        if runs(module, d_model):
            call.established |= {
                n for n, g in chosen.items() if g.role in ("other width", "head width") and _is_only_width(call, n)
            }
            return
        built = built or chosen
    call.sizes, call.reading = stated, "usual"
    if built is None:
        call.read = before
        _ask(call, unknown)
    else:
        _apply(call, built, before)
        settle_sizes(call)


def mend_with_guess(call: ConstructorCall) -> None:
    """Where it cannot be built with an optional argument at its default, in one size or the other, try another value of one."""
    several = [call.sizes] if call.sizes else [FIRST_SIZES, OTHER_SIZES]
    if is_built(call, several):
        return
    before, switches = call.read, not is_built(call, several[:1])
    # A width that is None by default, and without which it cannot be built: vdim where nothing stands for it.
    roles = {n: role_of(n) for n, p in call.left.items() if p.default is None and n not in before.roles}
    widths: dict[str, Role] = {n: role for n, role in roles.items() if role in ("other width", "head width")}
    call.read = replace(before, roles=before.roles | widths)
    if widths and is_built(call, several):
        return
    left = {n: p for n, p in call.left.items() if n not in before.roles}
    for chosen in optional_guesses(call.target, left, switches=switches):
        _apply(call, chosen, before)
        if is_built(call, several):
            return
    call.read, call.guessed, call.established, call.dicts = before, {}, set(), {}


def _is_only_width(call: ConstructorCall, name: str) -> bool:
    """Whether it cannot be called where an argument that was given a width is given the other: d_model, or that of a head."""
    head, d_model = call.sizes or FIRST_SIZES
    if "." in name or head == 1:
        return False
    given = call.arguments(head, d_model, 0.0)
    other = d_model // head if given[name] == d_model else d_model
    with contextlib.suppress(Exception):
        return not runs(call.target(**given | {name: other}), d_model)
    return True


def _apply(call: ConstructorCall, chosen: Mapping[str, Guess], before: Parameters) -> None:
    """Take guesses for known; those of a configuration's fields are given to it as they are."""
    plain = {name: guess for name, guess in chosen.items() if "." not in name}
    roles = before.roles | {name: guess.role for name, guess in plain.items() if guess.role is not None}
    valued = {n: g.value for n, g in plain.items() if g.role is None and g.made is None and g.keys is None}
    fixed = before.fixed | valued
    call.dicts = {name: guess.keys for name, guess in plain.items() if guess.keys is not None}
    call.made = {name: guess.made for name, guess in plain.items() if guess.made is not None}
    width = before.width or any(guess.role in ("d_model", "other width", "head width") for guess in plain.values())
    head = before.head or any(guess.role == "head" for guess in plain.values())
    call.read = replace(before, roles=roles, fixed=fixed, unknown=(), width=width, head=head)
    for name, guess in chosen.items():
        owner, _, field = name.rpartition(".")
        config = call.configs.get(owner)
        if config is not None and config.read is not None:
            known = {field: guess.role} if guess.role is not None else {}
            value = {field: guess.value} if guess.role is None else {}
            config.read = replace(config.read, roles=config.read.roles | known, fixed=config.read.fixed | value)
    call.guessed = {name: guess.words for name, guess in chosen.items()}
    call.established = {name for name, guess in plain.items() if is_established(call.target, name, guess)}


def _ask(call: ConstructorCall, unknown: Sequence[str]) -> NoReturn:
    needs = f"needs {' and '.join(map(repr, unknown))}"
    lacking = (("number of heads", call.read.head), ("width", call.read.width))
    what = " and ".join(words for words, there in lacking if not there)
    if what and not call.configs and call.sizes is None:
        needs = f"has no parameter that is known to be the {what}, and {needs}"
    raise Question(f"{call.shown} {needs}, and mhsa does not know what to give. {how_to_state(unknown[0])}. {FACTORY}")
