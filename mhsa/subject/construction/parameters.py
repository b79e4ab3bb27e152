"""The parameters of a constructor: which is the number of heads, the width, a configuration, and which are not known."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from mhsa.records.names import (
    CONFIG,
    DROPOUT,
    HEAD,
    KV_HEADS_NEXT_TO_HEADS,
    OTHER_WIDTHS,
    POSITIONS,
    SCALED,
    WIDTH,
    is_called,
    pick,
)
from mhsa.subject.construction.annotated_config import config_class, is_record
from mhsa.subject.construction.argument_roles import SIZED, Role, role_of
from mhsa.subject.construction.argument_use import is_multiplied, use_of
from mhsa.subject.construction.by_source.documented_roles import documented_roles

_CONFIG_CLASS = re.compile("config|args|params|options|settings", re.IGNORECASE)

_INITIAL = re.compile(r"(^|_)init(ial)?(_|$)|initiali[sz]er")


@dataclass(frozen=True)
class Parameters:
    """What each parameter is given.

    Attributes:
        roles: of the parameters that mhsa gives something.
        fixed: what has one value whatever the sizes: a device, a dtype.
        unknown: names of required parameters that nothing is known of.
        head, width: whether a parameter is the number of heads, or a width that mhsa chooses.
        kv_heads: name of the parameter for the number of heads of keys and values; empty where there is none.
    """

    roles: dict[str, Role]
    fixed: dict[str, Any]
    unknown: tuple[str, ...]
    head: bool
    width: bool
    kv_heads: str = ""


def configs_of(target: Callable[..., Any]) -> dict[str, type[Any] | None]:
    """Return the parameters that are configurations, with the class of each where an annotation says it.

    One that may be left out is given where it is None by default and has the number of heads, which no parameter has.
    """
    found: dict[str, type[Any] | None] = {}
    parameters = _named(inspect.signature(target).parameters)
    for name, parameter in parameters.items():
        if parameter.default is not parameter.empty:
            if parameter.default is None and not pick(parameters, HEAD):
                kind = config_class(target, parameter)
                if kind is not None and is_record(kind) and pick(inspect.signature(kind).parameters, HEAD):
                    found[name] = kind
            continue
        kind = config_class(target, parameter)
        by_name = is_called(name, CONFIG)
        if kind is not None and (by_name or is_record(kind) or _CONFIG_CLASS.search(kind.__name__)):
            found[name] = kind
        elif by_name or _is_configuration(target, name):
            found[name] = None
    return found


def read_parameters(
    everything: dict[str, inspect.Parameter], head: str | None = None, documented: Mapping[str, Role] | None = None
) -> Parameters:
    """Read the parameters that are neither stated nor a configuration.

    An optional number of heads, width, length or dropout is given, too: a module for few positions could not be judged with
    more, and what eval() does not switch off shall show. The width of a head is given unless its default is None, which says
    that the module computes it. A switch that turns the usual scale on, and is off by default, is turned on.

    Args:
        everything: the parameters by name.
        head: the one that is the number of heads, where no name says it.
        documented: the roles that docstrings give to those whose names say nothing.
    """
    parameters, documented = _named(everything), documented or {}
    required = [n for n, p in parameters.items() if p.default is p.empty]
    head = head or pick(required, HEAD) or pick(parameters, HEAD) or next((n for n in parameters if role_of(n) == "head"), None)
    head = head or next((n for n in parameters if documented.get(n) == "head"), None)
    others = [n for n in parameters if n != head]
    width = pick(required, WIDTH) or pick(others, WIDTH) or pick(required, OTHER_WIDTHS)
    width = width or next((n for n in others if documented.get(n) == "d_model"), None)
    roles: dict[str, Role] = {}
    fixed: dict[str, Any] = {}
    unknown = []
    for name, parameter in parameters.items():
        role, needed, default = role_of(name) or documented.get(name), name in required, parameter.default
        if name != head and is_called(name, KV_HEADS_NEXT_TO_HEADS):
            role = "kv head"
        if name == head:
            roles[name] = "head"
        elif role == "head width" and default is not None:
            roles[name] = role
        elif name == width:
            roles[name] = "other width" if role == "other width" else "d_model"
        elif role == "other width" and _is_of_one_head(parameter, parameters.get(head or ""), parameters.get(width or "")):
            roles[name] = "head width"
        elif role == "dropout" and (needed or _is_rate(parameter)):
            roles[name] = "dropout"
        elif role in ("kv head", "length") and type(default) is int:
            roles[name] = role
        elif name == "batch_first" or (default is False and is_called(name, SCALED)):
            roles[name] = "on"
        elif needed and role is not None:
            roles[name] = role
        elif needed and name in ("device", "dtype"):
            fixed[name] = None
        elif needed and _INITIAL.search(name) and parameter.annotation in (float, "float"):
            fixed[name] = 1.0  # of numbers that a case gives anyhow
        elif needed and parameter.annotation in (bool, "bool"):
            roles[name] = "off"
        elif needed:
            unknown.append(name)
    sized = width is not None or any(roles[n] in ("head width", "other width") for n in required if n in roles)
    own = KV_HEADS_NEXT_TO_HEADS if head is not None else ()
    shared = next((n for n in parameters if n != head and (role_of(n) == "kv head" or is_called(n, own))), "")
    return Parameters(roles, fixed, tuple(unknown), head is not None, sized, shared)


def with_positions(target: Callable[..., Any], read: Parameters) -> Parameters:
    """Return the parameters with a name that is one of widths and of positions as the latter, where it makes a triangle."""
    both = [n for n, role in read.roles.items() if role == "other width" and is_called(n, POSITIONS)]
    places: dict[str, Role] = {n: "length" for n in both if use_of(target, n).square}
    return replace(read, roles=read.roles | places) if places else read


def with_widths_of_heads(target: Callable[..., Any], read: Parameters) -> Parameters:
    """Return the parameters with a second width as that of a head: the source multiplies it by the number of heads, or makes
    that number by dividing another width by it. The first one may have a name that says nothing.
    """
    head = next((n for n, role in read.roles.items() if role == "head"), None)
    if head is None:
        divide = [n for n, role in read.roles.items() if role in ("d_model", "other width") and use_of(target, n).width_of_head]
        return replace(read, roles=read.roles | dict.fromkeys(divide, "head width")) if divide else read
    widths = [n for n, role in read.roles.items() if role == "d_model"]
    of_head = [n for n in widths if is_multiplied(target, n, head)]
    inner = len(of_head) == len(widths) and any(use_of(target, n).width for n in read.unknown)  # (nin, dim, heads)
    if not of_head or (len(of_head) == len(widths) and not inner):
        return read
    read = replace(read, width=False) if inner else read
    return replace(read, roles=read.roles | dict.fromkeys(of_head, "head width"))


def with_dropout_layers(target: Callable[..., Any], read: Parameters, parameters: dict[str, inspect.Parameter]) -> Parameters:
    """Return the parameters with required dropouts that are layers, not rates: by the annotation, or as they are called."""
    rates = [n for n, role in read.roles.items() if role == "dropout" and parameters[n].default is inspect.Parameter.empty]
    used = {n: use_of(target, n) for n in rates}
    # self.dropout(...) is a call of the argument only where no dropout is made with it.
    layers = [n for n in rates if _is_layer(parameters[n].annotation) or (used[n].called and not used[n].rate)]
    return replace(read, roles=read.roles | dict.fromkeys(layers, "dropout layer")) if layers else read


def _is_layer(annotation: Any) -> bool:
    """Whether an annotation is the class of a module, or names one."""
    if isinstance(annotation, str):
        return re.search(r"Module|Dropout", annotation) is not None
    return inspect.isclass(annotation) and any(base.__module__.startswith("torch.nn") for base in annotation.__mro__)


def takes_sizes(target: Any) -> bool:
    """Whether a class or function is built from a number of heads and a width, by name, and needs nothing unknown."""
    try:
        configs = configs_of(target)
        own = {n: p for n, p in inspect.signature(target).parameters.items() if n not in configs}
        read = read_parameters(own, None, documented_roles(target, own))
    except (TypeError, ValueError):
        return False
    return not read.unknown and (bool(configs) or (read.head and read.width))


def _named(parameters: Any) -> dict[str, inspect.Parameter]:
    return {n: p for n, p in parameters.items() if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)}


def _is_of_one_head(other: inspect.Parameter, head: inspect.Parameter | None, width: inspect.Parameter | None) -> bool:
    """Whether defaults say that another width is that of a head: as often as there are heads it is d_model."""
    if head is None or width is None or any(type(p.default) is not int for p in (other, head, width)):
        return False
    return bool(head.default > 1 and other.default * head.default == width.default)


def _is_rate(parameter: inspect.Parameter) -> bool:
    """Whether an optional parameter with a name of dropout is a rate, by its default or its annotation: False is a switch."""
    if type(parameter.default) in (int, float):
        return is_called(parameter.name, DROPOUT) and parameter.annotation not in (bool, "bool")
    return False


def _is_configuration(target: Any, name: str) -> bool:
    """Whether an argument of a name that says nothing is a configuration: a number of heads or two other sizes are read."""
    if role_of(name) is not None:
        return False
    use = use_of(target, name)
    sizes = {role for read in use.read if (role := role_of(read)) in SIZED}
    return not use.called and ("head" in sizes or len(sizes) > 1)
