"""One configuration that a constructor takes: its class, what is stated of it, and what was read from it."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from mhsa.subject.construction.annotated_config import fields_of
from mhsa.subject.construction.config_object import USUAL, Answered
from mhsa.subject.construction.config_source import Source, configuration_source
from mhsa.subject.construction.parameters import Parameters, read_parameters


@dataclass
class StatedConfiguration:
    """One configuration: its class if it is known, what is stated of it, what was read from it."""

    kind: type[Any] | None
    given: dict[str, Any]
    read: Parameters | None
    source: Source
    answered: Answered = field(default_factory=Answered)
    fields: Mapping[str, inspect.Parameter] = field(default_factory=dict)  # of its class


def is_object(name: str, more: Mapping[str, Any] | None) -> bool:
    """Whether the user states a whole configuration, not a table of names."""
    return name in (more or {}) and not isinstance((more or {})[name], Mapping)


def configuration(target: Any, name: str, kind: type[Any] | None, given: dict[str, Any]) -> StatedConfiguration:
    """Return the configuration ``name`` of ``target``: its fields where its class is known."""
    read, fields, source = None, dict[str, inspect.Parameter](), configuration_source(target, name)
    if kind is not None:
        try:
            fields = fields_of(kind)
        except (TypeError, ValueError):  # no readable signature
            kind = None
        # A class that holds nothing by itself stands for what somebody sets on it.
        kind = kind if fields else None
        if kind is not None:
            read = read_parameters({n: p for n, p in fields.items() if n not in given})
            usual = {n: USUAL[n] for n in read.unknown if n in USUAL}
            # A rate that the class never asks for is that of another part of the model.
            roles = {n: role for n, role in read.roles.items() if role != "dropout" or not source.leaves(n)}
            read = replace(
                read, roles=roles, fixed=read.fixed | usual, unknown=tuple(n for n in read.unknown if n not in usual)
            )
    return StatedConfiguration(kind, given, read, source, fields=fields)
