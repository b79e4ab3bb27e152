"""Which weight has which roles: by its name, else by its gradients, else by the order of definition."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from mhsa.introspect.projections.fewer_maps import fewer_maps
from mhsa.introspect.projections.parts import Parts, read_four
from mhsa.introspect.projections.role_names import QKV, ROLES, named_roles, names_residual, tells_order
from mhsa.introspect.projections.search.candidates import Candidates, Weights
from mhsa.introspect.projections.tied import named_tied, value_of_key
from mhsa.subject.parameter_layout import AxisReading

_KV = ("key", "value")


@dataclass(frozen=True)
class RolesOfWeights:
    """What the weights are.

    Attributes:
        weights: how each is read.
        tied: roles that have no map of their own, each with the role whose map it shares.
        absent: roles without a map.
        unsure: what was taken for granted of them, in words.
    """

    weights: Weights
    tied: dict[str, str]
    absent: tuple[str, ...]
    unsure: str


def find_roles(candidates: Candidates, parts: Parts) -> RolesOfWeights:
    """Return which weight has which roles; some role may be left without one."""
    weights = read_four(parts, lambda path, reading: candidates.tags.fit(reading, [path], candidates.sizes))
    named, tied, others = _by_names(candidates, weights)
    unnamed = [path for path in others if not names_residual(path)]
    shown = _by_gradients(candidates, weights | named, unnamed)
    all_missing = len(unnamed) == len(_missing(weights | named, tied)) >= len(QKV)
    if all_missing and candidates.tags.inputs != "x" and _is_twice(shown):
        shown = weights | named  # one of the maps is given another one's tensor: they are what they are in the usual order
    ordered = _by_order(candidates, shown, unnamed)
    unsure = ""
    if all_missing and (_is_twice(ordered) or _missing(ordered, tied)):
        in_order = _by_order(candidates, weights | named, unnamed)
        if not _is_twice(in_order) and not _missing(in_order, tied):  # gradients that flow where those of no attention do
            ordered, unsure = in_order, "the maps are those of queries, keys, values and the output in this order"
    weights = ordered
    left = [path for path in others if path not in weights]
    if not left and _missing(weights, tied) == ["value"] and (of_key := value_of_key(weights, candidates.tags.moves_alone)):
        tied, unsure = tied | of_key, "the values are those of the key's map"
    absent = _absent(_missing(weights, tied), left)
    some_named = any(named_roles(path) for path in weights)
    missing = _missing(weights, tied)
    fewer = None if absent else fewer_maps(missing, left, candidates.readings, candidates.tags, named=some_named)
    if fewer is None:
        return RolesOfWeights(weights, tied, absent, unsure)
    return RolesOfWeights({**weights, **fewer.weights}, {**tied, **fewer.tied}, fewer.absent, fewer.unsure)


def _by_names(candidates: Candidates, known: Collection[str]) -> tuple[Weights, dict[str, str], list[str]]:
    """Return the weights whose names say their roles, the roles that share a map, and the weights whose names say nothing."""
    weights: Weights = {}
    tied: dict[str, str] = {}
    unnamed: list[str] = []
    paths = [path for path in candidates.groups if not candidates.is_bias(path)]
    namesakes: dict[tuple[str, ...], list[str]] = {}
    for path in paths:
        namesakes.setdefault(named_roles(path), []).append(path)
    for path in paths:
        if path in known:
            continue
        roles = named_roles(path)
        if roles and roles[0] in QKV and candidates.is_packed(path) and not _others_named(namesakes, roles):
            roles = QKV  # self.q = Linear(d, 3 * d): named after the first of three maps
        possible = candidates.readings(path, roles) if roles else []
        if possible:
            by_name = _in_named_order(candidates, path, roles)
            if by_name is None and any(p != path and candidates.fitting(p, roles) for p in namesakes.get(roles, ())):
                unnamed.append(path)  # Q2d and d2Q: the other one of this name is that map
            else:
                weights[path] = by_name or possible[0]
        elif (shared := named_tied(path, candidates.groups, candidates.readings)) is not None and not candidates.grouped:
            weights[path], tied = shared[0], tied | shared[1]
        else:
            unnamed.append(path)
    return weights, tied, unnamed


def _others_named(namesakes: Mapping[tuple[str, ...], Sequence[str]], roles: Sequence[str]) -> bool:
    """Whether another weight is named after another one of queries, keys and values, or this one after several."""
    return len(roles) > 1 or any(role in QKV and role not in roles for named in namesakes for role in named)


def _in_named_order(candidates: Candidates, path: str, roles: tuple[str, ...]) -> AxisReading | None:
    """Return the first reading that gradients show, of the roles in the order of the name, or in others that it leaves open."""
    orders = [roles, *(order for order in itertools.permutations(roles) if order != roles and not tells_order(path))]
    # The usual order, whatever letters the name puts first.
    orders += [usual for usual in (QKV, _KV) if set(roles) == set(usual) and roles != usual]
    return next((r for order in orders for r in candidates.readings(path, order) if candidates.shows(r, path)), None)


def _by_gradients(candidates: Candidates, weights: Weights, unnamed: Sequence[str]) -> Weights:
    """Return the weights with those whose gradients are where a missing role says."""
    weights = dict(weights)
    for path, roles in _guesses(unnamed, weights):
        if len(roles) == 1 and candidates.is_packed(path) and set(QKV) <= set(_missing(weights)):
            continue  # three maps in one, whatever gradients a wrong module gives it
        if path not in weights and (fitting := candidates.fitting(path, roles)):
            weights[path] = fitting[0]
    return weights


def _by_order(candidates: Candidates, weights: Weights, unnamed: Sequence[str]) -> Weights:
    """Return the weights with those that no gradient shows (the module may be too wrong for that), as they are defined."""
    weights = dict(weights)
    for packed in (True, False):
        for path, roles in _in_order([p for p in unnamed if p not in weights], weights, packed=packed):
            if possible := candidates.readings(path, roles):
                weights[path] = possible[0]
    return weights


def _absent(missing: Sequence[str], left: Sequence[str]) -> tuple[str, ...]:
    """Return the maps that the module has no parameters for: the out projection alone, all but it, or every one of them."""
    return tuple(missing) if not left and list(missing) in (["out"], list(QKV), list(ROLES)) else ()


def _missing(weights: Weights, tied: Collection[str] = ()) -> list[str]:
    return [r for r in ROLES if r not in tied and not any(r in w.roles for w in weights.values())]


def _guesses(unnamed: Sequence[str], weights: Weights) -> list[tuple[str, tuple[str, ...]]]:
    """Return roles to try for weights whose names say nothing: packed ones, then each that is missing."""
    missing = _missing(weights)
    if len(unnamed) == 1 and not weights:  # inputs that are projected already, and one map that brings the heads together
        missing = ["out"]
    packed = [(path, order) for path in unnamed if set(QKV) <= set(missing) for order in itertools.permutations(QKV)]
    packed += [(path, _KV) for path in unnamed if set(_KV) <= set(missing) and "query" not in missing]
    return packed + [(path, (role,)) for path in unnamed for role in missing]


def _is_twice(weights: Weights) -> bool:
    """Whether two weights have one role."""
    roles = [role for weight in weights.values() for role in weight.roles]
    return len(roles) > len(set(roles))


def _in_order(unnamed: Sequence[str], weights: Weights, *, packed: bool) -> list[tuple[str, tuple[str, ...]]]:
    """Return the roles of definition order, as in clones(nn.Linear(d_model, d_model), 4) or c_attn, c_proj."""
    missing = _missing(weights)
    if packed:
        return [(path, QKV) for path in unnamed[:1] if set(QKV) <= set(missing)]
    return [(p, (r,)) for p, r in zip(unnamed, missing, strict=False)] if len(unnamed) == len(missing) else []
