"""Layers that take a width which stands in the code, whatever the constructor is given: the inputs have that width."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Mapping
from typing import Any

from torch import nn

from mhsa.subject.construction.argument_roles import Role, role_of
from mhsa.subject.construction.argument_use import use_of


def fixed_inputs(one: nn.Module, other: nn.Module) -> list[int]:
    """Return the widths that linear layers take in two modules of different sizes, and give others in each."""
    found = []
    for path, layer in one.named_modules():
        twin = None
        with contextlib.suppress(AttributeError):
            twin = other.get_submodule(path)
        if isinstance(layer, nn.Linear) and isinstance(twin, nn.Linear) and layer.in_features == twin.in_features:
            found.append(layer.in_features)
    return list(dict.fromkeys(found))


def widths_of_layers(target: Any, parameters: Mapping[str, inspect.Parameter], roles: Mapping[str, Role]) -> dict[str, Role]:
    """Return the roles in which each optional width that layers are made with is d_model, and no other optional one is."""
    left = dict(roles)
    for name, parameter in parameters.items():
        if type(parameter.default) is not int or role_of(name) not in ("d_model", "other width"):
            continue
        left.pop(name, None)
        if use_of(target, name, parameter).width:
            left[name] = "d_model"
    return left
