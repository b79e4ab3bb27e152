"""The arguments that build a class or factory in given sizes, by the roles that its parameters have."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from torch import nn

from mhsa.records.contract import Contract
from mhsa.records.errors import SubjectError
from mhsa.subject.construction.annotated_config import made
from mhsa.subject.construction.argument_roles import Role, WidthReading, value_of
from mhsa.subject.construction.argument_use import use_of
from mhsa.subject.construction.by_source.collected_arguments import Keys
from mhsa.subject.construction.by_source.documented_roles import documented_roles
from mhsa.subject.construction.by_source.keyword_items import items_of_keywords
from mhsa.subject.construction.by_source.rotations import Rotation, rotations
from mhsa.subject.construction.config_argument import configuration, is_object
from mhsa.subject.construction.config_object import Config
from mhsa.subject.construction.declared_options import contradictions, options_of
from mhsa.subject.construction.given_arguments import require_taken, split, stated_sizes
from mhsa.subject.construction.guess import Core
from mhsa.subject.construction.parameters import (
    configs_of,
    read_parameters,
    with_dropout_layers,
    with_positions,
    with_widths_of_heads,
)


class ConstructorCall:
    """What a constructor is given; roles, sizes and guesses may be set until it can be built.

    Attributes:
        target: the class or factory.
        name: of it, for messages.
        shown: its signature, without what is stated.
        given: arguments that the user states.
        configs: of each argument that is a configuration, what is known of it.
        read: the roles of the other parameters.
        reading: what the widths that it takes are widths of.
        sizes: (head, d_model) if it can be built in one size only, else None.
        any_width: whether what it builds has no parameters, and takes tokens of any width.
        stated: whether the user states these sizes.
        required: parameters without a default.
        made: arguments that are made anew for each module.
        dicts: arguments that are a dict, with its keys.
        guessed: what is given for names that nothing is known of, in words.
        established: those of them that the source leaves no doubt of.
        parameters: all of them, as the signature has them.
        left: those that are neither stated nor configurations.
        contract: what the subject declares: options that state a feature of the formula are given what is declared.
    """

    def __init__(
        self,
        target: Callable[..., Any],
        name: str,
        more: Mapping[str, Any] | None,
        head: str | None,
        contract: Contract,
    ) -> None:
        self.target, self.name, self.contract = target, name, contract
        self.parameters = dict(inspect.signature(target).parameters) | items_of_keywords(target)
        kinds = configs_of(target)
        self.given, inside = split(more or {}, {n for n in kinds if not is_object(n, more)})
        require_taken(name, self.given, self.parameters)
        self.configs = {n: configuration(target, n, kinds[n], given) for n, given in inside.items()}
        self.left = {n: p for n, p in self.parameters.items() if n not in {*self.given, *self.configs}}
        read = with_positions(target, read_parameters(self.left, head, documented_roles(target, self.left)))
        self.read = with_dropout_layers(target, with_widths_of_heads(target, read), self.left)
        self.shown = f"{name}({', '.join(str(p) for n, p in self.parameters.items() if n not in self.given)})"
        self.reading: WidthReading = "usual"
        stated = {n: v for c in self.configs.values() for n, v in c.given.items()} | self.given
        self.sizes = stated_sizes(name, stated)
        self.stated, self.any_width = self.sizes is not None, False
        self.required = {n for n, p in self.parameters.items() if p.default is p.empty}
        self.made: dict[str, Core | Rotation] = {}
        # Modules, and so no switches.
        self.parts = {name for name in self.required if rotations(target, name) and use_of(target, name).called}
        self.dicts: dict[str, Keys] = {}
        self.guessed: dict[str, str] = {}
        self.established: set[str] = set()

    def arguments(
        self, head: int, d_model: int, rate: float, kv_heads: int | None = None, contract: Contract | None = None
    ) -> dict[str, Any]:
        """Return the keyword arguments for these sizes; with ``kv_heads`` there are that many heads of keys and values.

        ``contract`` replaces the own one.
        """
        sizes = head, d_model, rate, self.reading
        contract = contract or self.contract
        chosen: dict[str, Any] = {n: value_of(role, *sizes) for n, role in self.read.roles.items()}
        if self.stated:  # what else has a default keeps it; a rate of dropout is varied all the same
            chosen = {n: v for n, v in chosen.items() if self.read.roles[n] == "dropout" or n in self.required}
        if kv_heads and self.read.kv_heads:  # whatever its default
            chosen[self.read.kv_heads] = kv_heads
        chosen |= self.stating(d_model // head, contract)
        for name, config in self.configs.items():
            if config.kind is None or config.read is None:
                chosen[name] = Config(name, *sizes, config.given, config.source, config.answered, kv_heads, contract)
                continue
            values = {n: value_of(role, *sizes) for n, role in config.read.roles.items()}
            if kv_heads and config.read.kv_heads:
                values[config.read.kv_heads] = kv_heads
            values |= options_of(config.fields, contract, d_model // head, config.given)
            chosen[name] = made(config.kind, values | config.read.fixed | config.given)
        chosen |= {name: {key: value_of(role, *sizes) for key, role in keys} for name, keys in self.dicts.items()}
        return chosen | self.read.fixed | {name: make(d_model // head) for name, make in self.made.items()} | self.given

    @property
    def missing(self) -> list[str]:
        """Attributes of configurations that the constructor reads, and mhsa does not know."""
        answered = {name: config.answered for name, config in self.configs.items()}
        return [f"{n}.{x}" for n, a in answered.items() for x in (*a.all_missing(), *a.all_guessed())]

    def roles(self) -> set[Role]:
        """Return the roles that parameters and fields of configurations have."""
        found = {*self.read.roles.values(), *(role for keys in self.dicts.values() for _, role in keys)}
        for config in self.configs.values():
            found |= config.answered.roles if config.read is None else set(config.read.roles.values())
        return found

    def build(self, head: int, d_model: int, rate: float = 0.0) -> nn.Module:
        """Return a module of these sizes, with this rate of dropout.

        Raises:
            SubjectError: it builds something else.
        """
        module = self.target(**self.arguments(head, d_model, rate))
        if not isinstance(module, nn.Module):
            raise SubjectError(f"{self.name} builds a {type(module).__name__}; must build an nn.Module")
        return module

    def unknown(self) -> list[str]:
        """Return what is required, and not known by name."""
        stating = self.stating(1, self.contract)
        unknown = [name for name in self.read.unknown if name not in stating]
        for name, config in self.configs.items():
            stating = options_of(config.fields, self.contract, 1)
            unknown += [f"{name}.{x}" for x in (config.read.unknown if config.read else ()) if x not in stating]
        return unknown

    def stating(self, d_k: int, contract: Contract) -> dict[str, Any]:
        """Return the options that state a feature which a contract declares, and what they are given."""
        otherwise = {name for name, role in self.read.roles.items() if role not in ("on", "off")}  # no feature changes these
        return options_of(self.left, contract, d_k, otherwise | self.parts)

    def contradicted(self, d_k: int) -> dict[str, tuple[Any, Any]]:
        """Return the options whose defaults state something else than the contract: default and declared value."""
        against = contradictions(self.left, self.contract, d_k)
        for owner, config in self.configs.items():
            fields = contradictions(config.fields, self.contract, d_k)
            against |= {f"{owner}.{n}": both for n, both in fields.items() if n not in config.given}
        return against
