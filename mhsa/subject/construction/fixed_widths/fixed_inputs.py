"""Layers that take a width which stands in the code, whatever the constructor is given: the inputs have that width."""

from __future__ import annotations

import contextlib
from dataclasses import replace

from torch import nn

from mhsa.subject.construction.argument_roles import Role, role_of
from mhsa.subject.construction.argument_use import use_of
from mhsa.subject.construction.built_sizes import head_of, runs
from mhsa.subject.construction.constructor_call import ConstructorCall
from mhsa.subject.construction.fixed_widths.words_in_source import speaks_of_heads

_PER_HEAD = (5, 15)  # features of a head in two modules


def has_fixed_inputs(call: ConstructorCall, head: int) -> bool:
    """Whether it can be called with inputs of one width alone, which stands in its code; if so it is built of that size.

    Optional widths that layers are made with are that of the output then, which is to be as wide, and others keep their
    defaults: what is only stored is no width of the layers.
    """
    before = call.read
    call.read = replace(before, roles=_roles(call))
    for width in _fixed(call, head):
        with contextlib.suppress(Exception):
            whole = call.build(head, width)
            heads = head_of(whole, width) or (None if speaks_of_heads(whole) else 1)
            if heads in (1, head) and width % heads == 0 and runs(whole, width):
                call.sizes = heads, width
                return True
    call.read = before
    return False


def _fixed(call: ConstructorCall, head: int) -> list[int]:
    """Return the widths that linear layers take in modules of two sizes, neither of which can be called with its own."""
    widths = [head * each for each in _PER_HEAD]
    try:
        one, other = (call.build(head, width) for width in widths)
    except Exception:
        return []
    if any(runs(module, width) for module, width in zip((one, other), widths, strict=True)):
        return []
    twins = dict(other.named_modules())
    found = []
    for path, layer in one.named_modules():
        twin = twins.get(path)
        if isinstance(layer, nn.Linear) and isinstance(twin, nn.Linear) and layer.in_features == twin.in_features:
            found.append(layer.in_features)
    return list(dict.fromkeys(found))


def _roles(call: ConstructorCall) -> dict[str, Role]:
    roles = dict(call.read.roles)
    for name, parameter in call.left.items():
        if type(parameter.default) is not int or role_of(name) not in ("d_model", "other width"):
            continue
        roles.pop(name, None)
        if use_of(call.target, name, parameter).width:
            roles[name] = "d_model"
    return roles
