"""Finds the projections of a module without an adapter: by name, by shape, and by where gradients flow.

Names decide which parameter is which, because a module that multiplies the key by ``w_value`` is wrong. Shapes, at
sizes that are all different, decide what each axis is. Where both leave a choice (x @ W or W @ x, the order inside
a packed matrix, names that say nothing) one backward pass of tagged inputs settles it: the query carries only feature
0, the key only feature 1, the value only feature 2, so the gradient of each weight is confined to the columns of its
role. No number is compared with an expected one: a wrong scale, axis or mask does not disturb the finding.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace

from torch import nn

from mhsa.introspect.projections.bias_tables import named_table, require_table
from mhsa.introspect.projections.fewer_maps import fewer_maps
from mhsa.introspect.projections.gradient_tags import Forward, tag
from mhsa.introspect.projections.head_index import with_head_index
from mhsa.introspect.projections.low_rank import switch_off
from mhsa.introspect.projections.norm_gains import named_gains, require_norms
from mhsa.introspect.projections.parts import WHOLE, Parts, place_of, read_four
from mhsa.introspect.projections.recipe import Recipe, computed_maps
from mhsa.introspect.projections.role_names import QKV, ROLES, named_roles, tells_order
from mhsa.introspect.projections.sinks import named_sinks, require_sinks
from mhsa.introspect.projections.tied import named_tied, value_of_key
from mhsa.oracle.formula.fields import Bias, BiasTable, QkNorm
from mhsa.records.errors import SubjectError
from mhsa.subject.parameter_layout import AxisReading, Sizes, packed_readings, readings, with_own_width

_NORM = re.compile("norm", re.IGNORECASE)
_BIAS = re.compile(r"b|b_.*|b(q|k|v|o|qkv|in|out)")  # names of biases
_SHARED = {"key", "value"}  # whose heads several query heads may share


def discover(
    module: nn.Module, sizes: Sizes, forward: Forward, inputs: str, *, grouped: bool = False, sinks: bool = False,
    norm: QkNorm | None = None, bias: Bias = None, apart: Collection[str] = (), parts: Parts = WHOLE,
) -> Recipe:  # fmt: skip
    """Find the recipe on ``module`` (float64, eval); ``inputs`` is ``"qkv"``, ``"q,kv"`` or ``"x"``.

    Where they are ``grouped``, keys and values may have fewer heads than queries; ``sinks`` says that a parameter has them, and
    ``norm`` that queries and keys are normalised; ``bias`` is that of the scores. Parameters ``apart`` are of no concern;
    ``parts`` are parameters of which a map is a part.

    Raises:
        SubjectError: a role cannot be found, or a parameter beyond the four maps changes the result.
        Question: there are sinks, or gains of normalised queries, and nothing declares it.
    """
    computed = computed_maps(module, sizes)
    factors = switch_off(module)
    sources = {path for c in computed.values() for path in c.sources} | {*factors, *apart}
    parameters = parts.taken(dict(module.named_parameters(remove_duplicate=False)), sizes)
    named = {path: p for path, p in parameters.items() if path not in sources}
    sink = named_sinks(named, sizes.head)
    gains = named_gains(named)
    table = named_table({path: p for path, p in named.items() if path not in gains}, sizes.head)
    for path in (sink, table, *gains):
        named.pop(path, None)
    shapes = {path: tuple(p.shape) for path, p in named.items()} | {p: tuple(c.make().shape) for p, c in computed.items()}
    linear = {f"{path}.weight" for path, m in module.named_modules(remove_duplicate=False) if is_linear(m)}
    linear |= {path for path in computed if "#" in path}
    of_norms = _of_norms(module)
    groups = _group_heads({path: shape for path, shape in shapes.items() if path not in of_norms}, sizes)
    tags = tag(module, sizes, forward, inputs).of_parts(parts, sizes).without(computed)
    require_norms(module, {path: view for path, view in gains.items() if tags.moves(path)}, norm)
    require_table(table if table and tags.moves(table) else "", bias=bias, found=table)
    require_sinks(sink if sinks or (sink and tags.moves(sink)) else "", declared=sinks)

    def choices(path: str, roles: tuple[str, ...], bias: bool) -> list[AxisReading]:
        per_head = "#" in path and path not in shapes
        member = groups[path][0]
        shape = shapes[member]
        if grouped and set(roles) == set(QKV):
            return list(packed_readings(shape, roles, sizes, linear=member in linear, bias=bias))
        shared = grouped and bool(roles) and set(roles) <= _SHARED
        for of_heads in sizes.shared() if shared else (sizes,):
            found = readings(shape, roles, of_heads, linear=member in linear, bias=bias, per_head=per_head)
            if listed := [replace(reading, shared=shared) for reading in found]:
                return listed
        if shared or (len(shape) < 2 and not bias):
            return []
        own = with_own_width(sizes, math.prod(shape), roles, bias=bias, per_head=per_head)
        return list(readings(shape, roles, own, linear=member in linear, bias=bias, per_head=per_head))

    def fits(path: str, roles: tuple[str, ...]) -> bool:
        return any(tags.fit(r, groups[path], sizes) for r in choices(path, roles, False))

    weights = read_four(parts, lambda path, reading: tags.fit(reading, [path], sizes))
    tied: dict[str, str] = {}
    unnamed: list[str] = []
    namesakes: dict[tuple[str, ...], list[str]] = {}
    for path in groups:
        if not _is_bias(path, shapes[groups[path][0]]):
            namesakes.setdefault(named_roles(path), []).append(path)
    for path in groups:
        if path in weights or _is_bias(path, shapes[groups[path][0]]):
            continue
        roles = named_roles(path)
        possible = choices(path, roles, False) if roles else []
        if possible:
            orders = [roles, *(order for order in itertools.permutations(roles) if order != roles and not tells_order(path))]
            orders += [QKV] if set(roles) == set(QKV) else []  # the usual order, whatever letters the name puts first
            tried = (r for order in orders for r in choices(path, order, False))
            by_name = next((r for r in tried if tags.fit(r, groups[path], sizes)), None)
            if by_name is None and any(p != path and fits(p, roles) for p in namesakes[roles]):
                unnamed.append(path)  # Q2d and d2Q: the other one of this name is that map
                continue
            weights[path] = by_name or possible[0]
        elif (shared := named_tied(path, groups, choices)) is not None and not grouped:
            weights[path], tied = shared[0], tied | shared[1]
        else:
            unnamed.append(path)
    for path, roles in _guesses(unnamed, weights):
        fitting = [r for r in choices(path, roles, False) if tags.fit(r, groups[path], sizes)]
        if len(roles) == 1 and _is_packed(shapes[groups[path][0]], sizes) and set(QKV) <= set(_missing(weights)):
            continue  # three maps in one, whatever gradients a wrong module gives it
        if fitting and path not in weights:
            weights[path] = fitting[0]
    # What no gradient shows (the module may be too wrong for that) goes by the order of definition.
    for packed in (True, False):
        for path, roles in _in_order([p for p in unnamed if p not in weights], weights, packed=packed):
            if possible := choices(path, roles, False):
                weights[path] = possible[0]
    left = [path for path in unnamed if path not in weights]
    unsure = ""
    if not left and _missing(weights, tied) == ["value"] and (of_key := value_of_key(weights, tags.moves_alone)):
        tied, unsure = tied | of_key, "the values are those of the key's map"
    absent = _absent(_missing(weights, tied), left)
    named_all = bool(weights) and all(named_roles(path) for path in weights)
    fewer = None if absent else fewer_maps(_missing(weights, tied), left, choices, tags, named=named_all)
    if fewer is not None:
        absent, unsure, tied = fewer.absent, fewer.unsure, tied | dict(fewer.tied)
        weights |= fewer.weights
    _require_all_roles(weights, shapes, (*absent, *tied))
    _require_widths(weights, groups, shapes, sizes, tied)
    recipe = weights | _biases(weights, groups, shapes, choices)
    used = {member for path in recipe for member in groups[path]}
    found = Recipe(
        recipe, absent, computes=any(path in computed for path in recipe), adds=bool(factors), tied=tied, unsure=unsure,
        sinks=sink if sinks else "", gains=gains if norm else {},
        table=table if isinstance(bias, BiasTable) else "", parts=parts,
    )  # fmt: skip
    for path in shapes:
        if path not in used and path not in computed and tags.moves(path):
            raise SubjectError(
                f"parameter {path} {list(shapes[path])} changes the result but is not part of plain multi-head attention "
                f"(found: {found.describe()}). Judge the attention alone, or describe the module in an mhsa.Adapter"
            )
    return found


def _is_packed(shape: tuple[int, ...], sizes: Sizes) -> bool:
    """Whether a weight has the numbers of three maps of the full width, as torch's layers lay them out."""
    return math.prod(shape) == 3 * sizes.d_model**2 and 3 * sizes.d_model in shape


def is_linear(module: nn.Module) -> bool:
    """Whether a layer maps the features of each token alone, with a weight [out, in] (and axes of size 1)."""
    if isinstance(module, (nn.Conv1d, nn.Conv2d)):
        return module.groups == 1 and all(size == 1 for size in module.kernel_size)
    return isinstance(module, nn.Linear) or getattr(module, "original_name", "") == "Linear"  # the latter is compiled


def _of_norms(module: nn.Module) -> set[str]:
    """Return the paths of parameters of norms: a norm in ``output`` is not an out projection, though its path says so."""
    norms = [(path, part) for path, part in module.named_modules(remove_duplicate=False) if _NORM.search(type(part).__name__)]
    return {f"{path}.{name}" for path, part in norms if path for name, _ in part.named_parameters(recurse=False)}


def _absent(missing: Sequence[str], left: Sequence[str]) -> tuple[str, ...]:
    """Return the maps that the module has no parameters for: the out projection alone, all but it, or every one of them."""
    return tuple(missing) if not left and list(missing) in (["out"], list(QKV), list(ROLES)) else ()


def _missing(weights: dict[str, AxisReading], tied: Collection[str] = ()) -> list[str]:
    return [r for r in ROLES if r not in tied and not any(r in w.roles for w in weights.values())]


def _guesses(unnamed: Sequence[str], weights: dict[str, AxisReading]) -> list[tuple[str, tuple[str, ...]]]:
    """Return roles to try for weights whose names say nothing: packed ones, then each that is missing."""
    missing = _missing(weights)
    if len(unnamed) == 1 and not weights:  # inputs that are projected already, and one map that brings the heads together
        missing = ["out"]
    packed = [(path, order) for path in unnamed if set(QKV) <= set(missing) for order in itertools.permutations(QKV)]
    return packed + [(path, (role,)) for path in unnamed for role in missing]


def _in_order(unnamed: Sequence[str], weights: dict[str, AxisReading], *, packed: bool) -> list[tuple[str, tuple[str, ...]]]:
    """Return the roles of definition order, as in clones(nn.Linear(d_model, d_model), 4) or c_attn, c_proj."""
    missing = _missing(weights)
    if packed:
        return [(path, QKV) for path in unnamed[:1] if set(QKV) <= set(missing)]
    return [(p, (r,)) for p, r in zip(unnamed, missing, strict=False)] if len(unnamed) == len(missing) else []


def _require_all_roles(weights: dict[str, AxisReading], shapes: dict[str, tuple[int, ...]], absent: tuple[str, ...]) -> None:
    missing = [r for r in ROLES if sum(r in w.roles for w in weights.values()) != (r not in absent)]
    if missing:
        listed = ", ".join(f"{path} {list(shape)}" for path, shape in shapes.items()) or "none"
        raise SubjectError(
            f"which parameters are the {', '.join(missing)} projection is not clear; the module has: {listed}. "
            "Say it in an mhsa.Adapter with a projections() method"
        )


def _require_widths(
    weights: dict[str, AxisReading], groups: dict[str, list[str]], shapes: dict[str, tuple[int, ...]], sizes: Sizes,
    tied: Mapping[str, str],
) -> None:  # fmt: skip
    """Raise unless heads of queries are as wide as those of keys, and those of values as W_O takes them."""
    widths = dict.fromkeys(ROLES, sizes.d_k)
    for path, reading in weights.items():
        if reading.shared:
            continue
        count = math.prod(shapes[groups[path][0]])
        own = with_own_width(sizes, count, reading.roles, bias=False, per_head=reading.per_head)
        sharing = [role for role, of in tied.items() if of in reading.roles]
        widths |= dict.fromkeys((*reading.roles, *sharing), own.inner or own.d_k)
    if widths["query"] != widths["key"] or widths["value"] != widths["out"]:
        listed = ", ".join(f"{role} {width}" for role, width in widths.items())
        raise SubjectError(
            f"the features of one head differ between maps that must agree ({listed}), for {sizes.head} heads. "
            "Where heads share keys and values, describe the module in an mhsa.Adapter"
        )


def _biases(
    weights: dict[str, AxisReading], groups: dict[str, list[str]], shapes: dict[str, tuple[int, ...]],
    choices: Callable[[str, tuple[str, ...], bool], list[AxisReading]],
) -> dict[str, AxisReading]:  # fmt: skip
    found: dict[str, AxisReading] = {}
    owners = {path.removesuffix(".weight"): reading for path, reading in weights.items() if path.endswith(".weight")}
    parents = [path.rpartition(".")[0] for path in weights]
    siblings = {p: reading for p, reading in zip(parents, weights.values(), strict=True) if p and parents.count(p) == 1}
    for path in groups:
        if not _is_bias(path, shapes[groups[path][0]]):
            continue
        owner = owners.get(path.removesuffix(".bias")) or siblings.get(path.rpartition(".")[0])
        if place := place_of(path):  # the bias of one of four maps in one parameter
            owner = next((w for p, w in weights.items() if place_of(p) == place), owner)
        roles = owner.roles if owner else named_roles(path)
        owner = owner or next((w for w in weights.values() if w.roles == roles), None)
        if owner is None and not roles and len(shapes[groups[path][0]]) > 1:  # the only packed map that it has the axes for
            fitting = [w for w in weights.values() if len(w.roles) > 1 and choices(path, w.roles, True)]
            owner, roles = (fitting[0], fitting[0].roles) if len(fitting) == 1 else (None, roles)
        possible = choices(path, roles, True) if roles else []
        if owner and len(roles) > 1:  # packed biases are packed as their weights are
            order = "".join(label for label in owner.labels if label not in ("in", "one"))
            possible = [r for r in possible if "".join(label for label in r.labels if label != "one") == order] or possible
        if possible:
            found[path] = possible[0]
    return found


def _is_bias(path: str, shape: tuple[int, ...]) -> bool:
    last = path.rsplit(".", 1)[-1]
    return len([s for s in shape if s > 1]) <= 1 or "bias" in last or _BIAS.fullmatch(last) is not None


def _group_heads(shapes: dict[str, tuple[int, ...]], sizes: Sizes) -> dict[str, list[str]]:
    """Paths grouped so that the copies of one parameter in every head are one entry, its head index shown as #."""
    together: dict[str, list[str]] = {}
    for path, shape in shapes.items():
        own_width = len(shape) in (1, 2) and len(named_roles(path)) == 1  # a head may be as wide as the module
        if sizes.d_k in shape or 3 * sizes.d_k in shape or 2 * sizes.d_k in shape or own_width:
            for pattern in with_head_index(path):
                together.setdefault(pattern, []).append(path)
    groups: dict[str, list[str]] = {}
    for path in shapes:
        pattern = next((p for p in with_head_index(path) if len(together.get(p, [])) == sizes.head), path)
        groups.setdefault(pattern, []).append(path)
    return groups
