"""A class or factory, and the arguments that build it in the sizes that mhsa chooses."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, NoReturn

from torch import nn
from torch.nn.parameter import is_lazy

from mhsa.records.contract import PLAIN, Contract
from mhsa.records.errors import Question, SubjectError
from mhsa.records.understood import Known, Understood
from mhsa.subject.construction.annotated_config import made
from mhsa.subject.construction.built_sizes import head_of, runs, width_of
from mhsa.subject.construction.config_object import Config, described
from mhsa.subject.construction.configuration import configuration, is_object
from mhsa.subject.construction.declared_options import contradictions, options_of
from mhsa.subject.construction.given_arguments import require_taken, split, stated_sizes
from mhsa.subject.construction.guesses import Guess, combinations, guesses, optional_guesses
from mhsa.subject.construction.parameters import Parameters, configs_of, read_parameters
from mhsa.subject.construction.roles import READINGS, WORDS, Reading, Role, value_of

_SIZES = (4, 20)  # head, d_model of a first try: d_k is 5, so that no two of them are the same
_EVEN = 6  # features of a head that are tried where 5 cannot be called: only an even number can be rotated
_OTHER_SIZES = (3, 21)  # what is of one width alone cannot be called so
_NO_MULTIPLES = ((1, 1), (3, 21))  # of 2, 4, 8, ..., as the groups of a norm are
# Of a first try where the module has a number of heads of its own, or refuses the usual width: multiples of 32, of 3 and of 5.
_WIDTHS = (20, 64, 96, 120, 128, 512)
_HEADS = (4, 2, 3, 5, 8, 1)


class Constructor:
    """How a class or factory is called.

    Attributes:
        sizes: (head, d_model) if it can be built in one size only, else None.
        understood: what was taken for what, beyond the usual names of sizes and dropout.
        drops: whether it is given a rate of dropout.
        target: the class or factory itself.
        missing: ``config.NAME`` that was asked for in vain.
        guessed: what was given for names that nothing is known of, in words.
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
        self.target, self._name, self._contract = target, name, contract
        everything = dict(inspect.signature(target).parameters)
        kinds = configs_of(target)
        self._given, inside = split(more or {}, {n for n in kinds if not is_object(n, more)})
        require_taken(name, self._given, everything)
        self._configs = {n: configuration(target, n, kinds[n], given) for n, given in inside.items()}
        left = {n: p for n, p in everything.items() if n not in {*self._given, *self._configs}}
        self._left = left
        self._read = read_parameters(left, head)
        # Called after the width of a head, which may be the number of heads where nothing else is.
        self.may_be_head = () if self._read.head else tuple(n for n, role in self._read.roles.items() if role == "head width")
        self._shown = f"{name}({', '.join(str(p) for n, p in everything.items() if n not in self._given)})"
        self._reading: Reading = "usual"
        stated = {n: v for c in self._configs.values() for n, v in c.given.items()} | self._given
        self.sizes = stated_sizes(name, stated)
        self._stated = self.sizes is not None
        self._required = {n for n, p in everything.items() if p.default is p.empty}
        self._made: dict[str, type[nn.Module]] = {}
        self.guessed: dict[str, str] = {}
        unknown = self._unknown()
        if unknown:
            self._guess(unknown, everything)
        else:
            self._settle()
            self._mend(everything)
        self._keep_to_groups()
        self.guessed |= {f"{n}.{x}": words for n, c in self._configs.items() for x, words in c.answered.all_guessed().items()}
        self.drops = "dropout" in self._roles()
        known = {*self._read.roles, *self.guessed, *_MEANINGLESS, *self._stating(_SIZES[1] // _SIZES[0], contract)}
        self.options = tuple(n for n, p in left.items() if p.default is not p.empty and n not in known)
        self.understood = tuple(self._said())

    def _settle(self) -> None:
        if self.sizes is None:
            self._find()
        else:
            with contextlib.suppress(Exception):  # what a configuration is asked for; that it fails is said when it is built
                self._build(*self.sizes)

    def _guess(self, unknown: Sequence[str], everything: Mapping[str, inspect.Parameter]) -> None:
        """Try values for what is not known by name: the first with which it can be called, else with which it is built."""
        before, stated = self._read, self.sizes
        choices: dict[str, list[Guess]] = {}
        for name in unknown:
            owner, _, field = name.rpartition(".")
            choices[name] = guesses(
                self.target, field, everything.get(name) if not owner else None,
                sized=before.width or bool(self._configs), headed=before.head or bool(self._configs),
            )  # fmt: skip
        built: dict[str, Guess] | None = None
        for chosen in combinations(choices):
            self.sizes, self._reading = stated, "usual"
            self._apply(chosen, before)
            try:
                self._settle()
                head, d_model = self.sizes or _SIZES
                module = self._build(head, d_model)
            except Exception:
                continue
            if runs(module, d_model):
                return
            built = built or chosen
        self.sizes, self._reading = stated, "usual"
        if built is None:
            self._read = before
            self._ask(unknown)
        else:
            self._apply(built, before)
            self._settle()

    def _mend(self, everything: Mapping[str, inspect.Parameter]) -> None:
        """Where it cannot be built with an optional argument at its default, try another value of one."""
        sizes = self.sizes or _SIZES
        try:
            self._build(*sizes)
        except Exception:
            before = self._read
        else:
            return
        for chosen in optional_guesses(self.target, {n: p for n, p in everything.items() if n not in self._given}):
            self._apply(chosen, before)
            with contextlib.suppress(Exception):
                self._build(*sizes)
                return
        self._read, self.guessed = before, {}

    def _apply(self, chosen: Mapping[str, Guess], before: Parameters) -> None:
        """Take guesses for known; those of a configuration's fields are given to it as they are."""
        plain = {name: guess for name, guess in chosen.items() if "." not in name}
        roles = before.roles | {name: guess.role for name, guess in plain.items() if guess.role is not None}
        fixed = before.fixed | {n: g.value for n, g in plain.items() if g.role is None and g.made is None}
        self._made = {name: guess.made for name, guess in plain.items() if guess.made is not None}
        width = before.width or any(guess.role in ("d_model", "other width", "head width") for guess in plain.values())
        head = before.head or any(guess.role == "head" for guess in plain.values())
        self._read = replace(before, roles=roles, fixed=fixed, unknown=(), width=width, head=head)
        for name, guess in chosen.items():
            owner, _, field = name.rpartition(".")
            config = self._configs.get(owner)
            if config is not None and config.read is not None:
                known = {field: guess.role} if guess.role is not None else {}
                value = {field: guess.value} if guess.role is None else {}
                config.read = replace(config.read, roles=config.read.roles | known, fixed=config.read.fixed | value)
        self.guessed = {name: guess.words for name, guess in chosen.items()}

    def arguments(
        self, head: int, d_model: int, rate: float, kv_heads: int | None = None, contract: Contract | None = None
    ) -> dict[str, Any]:
        """Return the keyword arguments for these sizes; with ``kv_heads`` there are that many heads of keys and values.

        ``contract`` replaces that of the constructor: options that state a feature of the formula are given what it declares.
        """
        sizes = head, d_model, rate, self._reading
        contract = contract or self._contract
        chosen: dict[str, Any] = {n: value_of(role, *sizes) for n, role in self._read.roles.items()}
        if self._stated:  # what else has a default keeps it; a rate of dropout is varied all the same
            chosen = {n: v for n, v in chosen.items() if self._read.roles[n] == "dropout" or n in self._required}
        if kv_heads and self._read.kv_heads:  # whatever its default
            chosen[self._read.kv_heads] = kv_heads
        chosen |= self._stating(d_model // head, contract)
        for name, config in self._configs.items():
            if config.kind is None or config.read is None:
                chosen[name] = Config(name, *sizes, config.given, config.source, config.answered, kv_heads, contract)
                continue
            values = {n: value_of(role, *sizes) for n, role in config.read.roles.items()}
            if kv_heads and config.read.kv_heads:
                values[config.read.kv_heads] = kv_heads
            values |= options_of(config.fields, contract, d_model // head, config.given)
            chosen[name] = made(config.kind, values | config.read.fixed | config.given)
        return chosen | self._read.fixed | {name: kind() for name, kind in self._made.items()} | self._given

    def _stating(self, d_k: int, contract: Contract) -> dict[str, Any]:
        """Return the options that state a feature which the contract declares, and what they are given."""
        return options_of(self._left, contract, d_k, _given_otherwise(self._read.roles))

    @property
    def missing(self) -> list[str]:
        """What configurations were asked for, and mhsa does not know."""
        answered = {name: config.answered for name, config in self._configs.items()}
        return [f"{n}.{x}" for n, a in answered.items() for x in (*a.all_missing(), *a.all_guessed())]

    @property
    def switched_off(self) -> set[str]:
        """Parameters that are left at their defaults, or are switches that must be given and are off."""
        return {*self.options, *(n for n, role in self._read.roles.items() if role == "off")}

    @property
    def takes_kv_heads(self) -> bool:
        """Whether a parameter, or an attribute of a configuration, is the number of heads of keys and values."""
        configured = any(config.read is not None and config.read.kv_heads for config in self._configs.values())
        return bool(self._read.kv_heads) or configured or "kv head" in self._roles()

    def _roles(self) -> set[Role]:
        found = set(self._read.roles.values())
        for config in self._configs.values():
            found |= config.answered.roles if config.read is None else set(config.read.roles.values())
        return found

    def _build(self, head: int, d_model: int) -> nn.Module:
        module = self.target(**self.arguments(head, d_model, 0.0))
        if not isinstance(module, nn.Module):
            raise SubjectError(f"{self._name} builds a {type(module).__name__}; must build an nn.Module")
        return module

    def _find(self) -> None:
        """Find the reading under which it can be built and called, and the sizes that it has by itself."""
        roles = self._roles()
        by_name = self._read.head and self._read.width
        if by_name and not self._configs and not roles & {"head width", "other width"}:
            self._require_first_sizes()
            return
        found: list[tuple[bool, bool, Reading]] = []
        error: Exception | None = None
        known = {"head", "d_model"} <= roles or bool(self._configs)
        for reading in READINGS if known or self._read.width else ():
            self._reading = reading
            try:
                module = self._build(*_SIZES)
            except Exception as raised:
                error = error or raised
                continue
            running = runs(module, _SIZES[1]) or any(self._runs_in(*sizes) for sizes in self._rotated_sizes())
            found.append((running, _is_whole(module), reading))
            if all(found[-1][:2]):
                break
        # The first that can be called and has projections of the full width; else that can be called; else that is built.
        self._reading = max(found, key=lambda x: x[:2])[2] if found else "usual"
        if self._configs and error is not None and not found:
            return  # a configuration that lacks something: building says what
        roles = self._roles()
        head = "head" in roles
        width = bool(roles & {"d_model", "other width"}) or (self._read.width and bool(found))
        if width and "d_model" not in roles and found and not (found[-1][0] and self._runs_in(*_OTHER_SIZES)):
            width = False  # it stands in the code, though it may be that of the first try
        if not head or not width:
            self._read_sizes(head, width)

    def _require_first_sizes(self) -> None:
        """Keep to one size where the usual first ones are refused, and others not: GroupNorm(32, d_model), an even d_k."""
        with contextlib.suppress(Exception):
            self._build(*_SIZES)
            return
        module, d_model = self._first(_SIZES[0])
        if module is not None:
            self.sizes = _SIZES[0], d_model

    def _keep_to_groups(self) -> None:
        """Keep to one size where a GroupNorm refuses a width that is no multiple of its groups."""
        for sizes in (_SIZES, *_NO_MULTIPLES) if self.sizes is None else ():
            try:
                self._build(*sizes)
            except ValueError as error:
                if "num_groups" in str(error) and sizes != _SIZES:
                    self.sizes = _SIZES
            except Exception:  # that it fails is said when it is judged
                return

    def _read_sizes(self, head: bool, width: bool) -> None:
        """Take what is not a parameter from a module that was built: a number of heads or a width that stands in the code."""
        module, d_model = self._first(4 if head else 1)
        if module is not None and not width:
            d_model = width_of(module) or 0
        heads = None
        if module is not None and d_model:
            if head:
                heads = next((h for h in _HEADS if d_model % h == 0 and self._can_be_built(h, d_model)), None)
            else:
                heads = head_of(module, d_model)
                if width and heads and self._can_be_built(heads, 5 * heads):
                    d_model = 5 * heads
        if not heads or d_model % heads:
            self._require_sizes(head, width)
        else:
            self.sizes = heads, d_model

    def _first(self, head: int) -> tuple[nn.Module | None, int]:
        """Return a module and the width it is built with: the first that can be called, else the first that can be built."""
        first: tuple[nn.Module | None, int] = (None, 0)
        for d_model in _WIDTHS:
            with contextlib.suppress(Exception):
                module = self._build(head, d_model)
                if runs(module, d_model):
                    return module, d_model
                if first[0] is None:
                    first = module, d_model
        return first

    def _rotated_sizes(self) -> list[tuple[int, int]]:
        """Return sizes in which an even number of features of a head can be rotated: those of the first try are odd."""
        rotary = self._contract.formula.rotary
        step = 2 if rotary is None else rotary.step
        return [(_SIZES[0], _SIZES[0] * step * -(-_EVEN // step))]

    def _runs_in(self, head: int, d_model: int) -> bool:
        with contextlib.suppress(Exception):
            return runs(self._build(head, d_model), d_model)
        return False

    def _can_be_built(self, head: int, d_model: int) -> bool:
        with contextlib.suppress(Exception):
            return head_of(self._build(head, d_model), d_model) in (head, None)
        return False

    def _require_sizes(self, head: bool, width: bool) -> None:
        what = " and ".join(w for w, found in (("number of heads", head), ("width", width)) if not found)
        if not self._read.roles and not self._configs and not self._given:
            self._build(*_SIZES)  # what it raises says more
        raise SubjectError(
            f"{self._shown} has no parameter that is known to be the {what}, and a built one does not show it. {_FACTORY}"
        )

    def _unknown(self) -> list[str]:
        """Return what is required, and not known by name."""
        stating = self._stating(1, self._contract)
        unknown = [name for name in self._read.unknown if name not in stating]
        for name, config in self._configs.items():
            stating = options_of(config.fields, self._contract, 1)
            unknown += [f"{name}.{x}" for x in (config.read.unknown if config.read else ()) if x not in stating]
        return unknown

    def _ask(self, unknown: Sequence[str]) -> NoReturn:
        needs = f"needs {' and '.join(map(repr, unknown))}"
        lacking = (("number of heads", self._read.head), ("width", self._read.width))
        what = " and ".join(words for words, there in lacking if not there)
        if what and not self._configs and self.sizes is None:
            needs = f"has no parameter that is known to be the {what}, and {needs}"
        raise Question(f"{self._shown} {needs}, and mhsa does not know what to give. {how_to_state(unknown[0])}. {_FACTORY}")

    def _said(self) -> list[Understood]:
        said: list[tuple[str, Known]] = []
        known = {n: role for n, role in self._read.roles.items() if n != "batch_first" and n not in self.guessed}
        given = [f"{n} ({WORDS[role]})" for n, role in known.items() if role in WORDS]
        given += [f"{n}={value!r}" for n, value in self._read.fixed.items() if n not in self.guessed]
        if given:
            said.append(("given what means nothing to attention: " + ", ".join(given), "named"))
        if self.guessed:
            values = ", ".join(f"{name}={words}" for name, words in self.guessed.items())
            said.append((f"given for what no name tells: {values}; state another with --argument NAME=VALUE", "fitted"))
        for name, config in self._configs.items():
            words = "made of the names that it is asked for" if config.read is None else f"a {config.kind.__name__}"  # type: ignore[union-attr]
            answers = described(config.answered)
            more = f", with {', '.join(answers)}" if answers else ""
            said.append((f"{name} is {words}{more}", "named" if config.read is None else "annotated"))
        if self._reading != "usual":
            whose = "of all heads together" if self._reading == "all of all heads" else "of one head"
            said.append((f"the widths that it takes are {whose}", "fitted"))
        stating = self._stating(_SIZES[1] // _SIZES[0], self._contract)
        if stating:
            names = ", ".join(f"{n}={value!r}" for n, value in stating.items())
            said.append((f"given what is declared (for heads of {_SIZES[1] // _SIZES[0]} features): {names}", "named"))
        against = contradictions(self._left, self._contract, _SIZES[1] // _SIZES[0])
        for owner, config in self._configs.items():
            fields = contradictions(config.fields, self._contract, _SIZES[1] // _SIZES[0])
            against |= {f"{owner}.{n}": both for n, both in fields.items() if n not in config.given}
        for option, (default, declared) in against.items():
            said.append((f"{option} is left at its default {default!r}, where {declared!r} is declared", "named"))
        if self.sizes is not None and not self._stated:
            said.append((f"one size, head={self.sizes[0]}, d_model={self.sizes[1]}, which a built one has or needs", "fitted"))
        return [Understood("constructor", text, known) for text, known in said]


def _given_otherwise(roles: Mapping[str, Role]) -> set[str]:
    """Return the parameters that have a role which no feature changes."""
    return {name for name, role in roles.items() if role not in ("on", "off")}


# Options that change where or in which format a module is made, not what it computes.
_MEANINGLESS = ("device", "dtype")


def how_to_state(argument: str) -> str:
    """Return the words for stating an argument: on the command line and in pyproject.toml."""
    key = f'"{argument}"' if "." in argument else argument
    return f"State it: --argument {argument}=VALUE, or arguments = {{ {key} = VALUE }} in pyproject.toml"


_FACTORY = "Or name a factory instead: def make(head, d_model): return ... in a file, verified as FILE.py:make"


def _is_whole(module: nn.Module) -> bool:
    """Whether a module of the first sizes has at least the weights of three projections of the full width.

    One that took the width of all heads for that of one has a fraction of them.
    """
    sized = (p for p in module.parameters() if not is_lazy(p))
    return sum(p.numel() for p in sized if p.dim() > 1) >= 3 * _SIZES[1] ** 2
