"""How a class or factory is built in the sizes that mhsa chooses, and what was taken for what."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from typing import Any

from mhsa.records.contract import PLAIN, Contract
from mhsa.records.understood import Known, Understood
from mhsa.subject.construction.argument_roles import (
    WORDS,
    WidthReading,
    is_length_of_inputs,
    role_of,
    size_at_the_end,
    value_of,
)
from mhsa.subject.construction.argument_use import use_of
from mhsa.subject.construction.built_sizes import head_of_scores
from mhsa.subject.construction.by_source.score_scale import score_scale
from mhsa.subject.construction.config_object import described
from mhsa.subject.construction.constructor_call import ConstructorCall
from mhsa.subject.construction.find_sizes import FIRST_SIZES, OTHER_SIZES, keep_to_groups, leave_dropout, settle_sizes
from mhsa.subject.construction.guess import WIDTHS
from mhsa.subject.construction.try_guesses import mend_with_guess, try_guesses


class Constructor:
    """How a class or factory is called.

    Attributes:
        sizes: (head, d_model) if it can be built in one size only, else None.
        any_width: whether what it builds has no parameters, and takes tokens of any width.
        understood: what was taken for what, beyond the usual names of sizes and dropout.
        drops: whether it is given a rate of dropout.
        target: the class or factory itself.
        missing: ``config.NAME`` that the constructor reads and mhsa does not know.
        guessed: what was given for names that nothing is known of, in words.
        established: those of them that the source leaves no doubt of.
        switches: those that are guessed to be off, and of which the source tests only whether they are true.
        may_be_head: parameters that may be the number of heads, against their names.
        options: parameters that are left at their defaults, whatever these are.
    """

    def __init__(
        self, target: Callable[..., Any], name: str, more: Mapping[str, Any] | None = None, head: str | None = None,
        contract: Contract = PLAIN,
    ) -> None:  # fmt: skip
        """Read the parameters of ``target``; build it where names leave something open.

        ``head`` is the parameter that is taken for the number of heads, whatever its name says; ``contract`` says what
        options are given that state a feature of the formula.

        Raises:
            SubjectError: no number of heads or width can be found, or an argument is stated that it does not take.
            Question: a required argument, or an attribute of a configuration, that nothing is known of.
        """
        call = ConstructorCall(target, name, more, head, contract)
        self._call, self.target = call, target
        # Called after the width of a head, which may be the number of heads where nothing else is.
        self.may_be_head = () if call.read.head else tuple(n for n, role in call.read.roles.items() if role == "head width")
        unknown = call.unknown()
        if unknown:
            try_guesses(call, unknown)
        else:
            settle_sizes(call)
            mend_with_guess(call)
        keep_to_groups(call)
        self.undropped = leave_dropout(call)
        self.sizes, self.any_width = call.sizes, call.any_width
        answered = {f"{n}.{x}": words for n, c in call.configs.items() for x, words in c.answered.all_guessed().items()}
        self.guessed = call.guessed | answered
        self.established = call.established | {n for n in answered if score_scale(target, n.rpartition(".")[2])}
        if "head" in self.guessed.values() and call.sizes is None and _shows_its_heads(call):
            self.established |= {n for n, words in self.guessed.items() if words == "head"}
            self.established |= {n for n, words in answered.items() if words in WIDTHS and _is_a_width(target, n)}
        off = [n for n, words in self.guessed.items() if words == "False"]
        self.switches = tuple(n for n in off if use_of(target, n.rpartition(".")[2]).only_switch)
        self.drops = not {"dropout", "dropout layer"}.isdisjoint(call.roles())
        known = {*call.read.roles, *self.guessed, *_MEANINGLESS, *call.stating(_FIRST_WIDTH, contract)}
        self.options = tuple(n for n, p in call.left.items() if p.default is not p.empty and n not in known)
        self.understood = tuple(self._said())

    def arguments(
        self, head: int, d_model: int, rate: float, kv_heads: int | None = None, contract: Contract | None = None
    ) -> dict[str, Any]:
        """Return the keyword arguments for these sizes; with ``kv_heads`` there are that many heads of keys and values.

        ``contract`` replaces that of the constructor: options that state a feature of the formula are given what it declares.
        """
        return self._call.arguments(head, d_model, rate, kv_heads, contract)

    @property
    def takes_kv_heads(self) -> bool:
        """Whether a parameter, or an attribute of a configuration, is the number of heads of keys and values."""
        configured = any(config.read is not None and config.read.kv_heads for config in self._call.configs.values())
        return bool(self._call.read.kv_heads) or configured or "kv head" in self._call.roles()

    @property
    def lengths(self) -> tuple[str, ...]:
        """Parameters and attributes of configurations that are lengths of the inputs, by their names."""
        inside = tuple(f"{n}.{x}" for n, c in self._call.configs.items() for x in c.answered.values if is_length_of_inputs(x))
        return (*(n for n in self._call.left if is_length_of_inputs(n)), *inside)

    def optional_lengths(self) -> dict[str, Any]:
        """Return the lengths of inputs that are left at their defaults otherwise, with what they are given for one call."""
        roles = {n: role_of(n) for n in self.options if is_length_of_inputs(n)}
        return {n: value_of(role, 1, 1, 0.0, "usual") for n, role in roles.items() if role is not None}

    @property
    def left_off(self) -> tuple[str, ...]:
        """Switches that are off by default, and are left so."""
        return tuple(n for n in self.options if self._call.parameters[n].default is False)

    @property
    def off_by_annotation(self) -> tuple[str, ...]:
        """Switches that must be given and are off, of which nothing but their annotation is known."""
        required = {n for n, p in self._call.parameters.items() if p.default is p.empty}
        return tuple(n for n, role in self._call.read.roles.items() if role == "off" and n in required and role_of(n) is None)

    @property
    def turned_on(self) -> tuple[str, ...]:
        """Switches of the layout that are on, whatever their default: ``batch_first``."""
        return tuple(n for n, role in self._call.read.roles.items() if role == "on" and n == "batch_first")

    @property
    def head_widths(self) -> tuple[str, ...]:
        """Parameters that are given the width of one head."""
        of_one: dict[WidthReading, set[str]] = {"usual": {"head width"}, "all of one head": {"head width", "other width"}}
        return tuple(n for n, role in self._call.read.roles.items() if role in of_one.get(self._call.reading, ()))

    @property
    def total_widths(self) -> tuple[str, ...]:
        """Parameters that are given the width of all heads, or are None by default and called after a width of heads."""
        given = tuple(n for n, role in self._call.read.roles.items() if role == "other width" and n not in self.head_widths)
        none = [n for n in self.options if self._call.parameters[n].default is None]
        return (*given, *(n for n in none if role_of(n) in ("other width", "head width")))

    @property
    def missing(self) -> list[str]:
        """Attributes of configurations that the constructor reads, and mhsa does not know."""
        return self._call.missing

    @property
    def cores_switched_off(self) -> str:
        """What was built for it with a switch off that is on by default, in words; empty where nothing was."""
        return ", ".join(str(core) for core in self._call.made.values() if core.off)

    @property
    def switched_off(self) -> set[str]:
        """Parameters that are left at their defaults, or are switches that must be given and are off."""
        return {*self.options, *self.switches, *(n for n, role in self._call.read.roles.items() if role == "off")}

    def _said(self) -> list[Understood]:
        call = self._call
        said: list[tuple[str, Known]] = []
        known = {n: role for n, role in call.read.roles.items() if n != "batch_first" and n not in self.guessed}
        given = [f"{n} ({WORDS[role]})" for n, role in known.items() if role in WORDS]
        given += [f"{n}={value!r}" for n, value in call.read.fixed.items() if n not in self.guessed]
        ends = [f"{n} (as {end})" for n in known if (end := size_at_the_end(n))]
        if ends:
            said.append((f"sizes by the ends of their names: {', '.join(ends)}", "named"))
        if given:
            said.append(("given what means nothing to attention: " + ", ".join(given), "named"))
        if self.guessed:
            values = ", ".join(f"{name}={words}" for name, words in self.guessed.items())
            said.append((f"given for what no name tells: {values}; state another with --argument NAME=VALUE", "fitted"))
        for name, config in call.configs.items():
            words = "made of the names that it is asked for" if config.read is None else f"a {config.kind.__name__}"  # type: ignore[union-attr]
            answers = described(config.answered)
            more = f", with {', '.join(answers)}" if answers else ""
            said.append((f"{name} is {words}{more}", "named" if config.read is None else "annotated"))
        if self.undropped:
            rates = ", ".join(self.undropped)
            said.append((f"not given a rate of dropout, with which it cannot be built: {rates}", "fitted"))
        if call.reading != "usual":
            whose = "of all heads together" if call.reading == "all of all heads" else "of one head"
            said.append((f"the widths that it takes are {whose}", "fitted"))
        stating = call.stating(_FIRST_WIDTH, call.contract)
        if stating:
            names = ", ".join(f"{n}={value!r}" for n, value in stating.items())
            said.append((f"given what is declared (for heads of {_FIRST_WIDTH} features): {names}", "named"))
        for option, (default, declared) in call.contradicted(_FIRST_WIDTH).items():
            said.append((f"{option} is left at its default {default!r}, where {declared!r} is declared", "named"))
        if self.sizes is not None and not call.stated:
            said.append((f"one size, head={self.sizes[0]}, d_model={self.sizes[1]}, which a built one has or needs", "fitted"))
        return [Understood("constructor", text, known) for text, known in said]


def _is_a_width(target: Any, name: str) -> bool:
    """Whether layers are made with an attribute of a configuration, or it is kept under the name of a width."""
    use = use_of(target, name.rpartition(".")[2])
    return use.width or any(role_of(other) == "d_model" for other in use.names)


def _shows_its_heads(call: ConstructorCall) -> bool:
    """Whether it has as many weights for each pair of tokens as the number of heads that it is given, in two sizes."""
    with contextlib.suppress(Exception):
        return all(head_of_scores(call.build(*sizes), sizes[1]) == sizes[0] for sizes in (FIRST_SIZES, OTHER_SIZES))
    return False


_FIRST_WIDTH = FIRST_SIZES[1] // FIRST_SIZES[0]  # features of a head in a first try
# Options that change where or in which format a module is made, not what it computes.
_MEANINGLESS = ("device", "dtype")
