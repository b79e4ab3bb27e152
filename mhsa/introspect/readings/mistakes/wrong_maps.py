"""Queries, keys and values in NumPy, with usual mistakes: one map or one tensor in the place of another."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from mhsa.oracle.attention import Linear, ProjectionWeights
from mhsa.oracle.bounded import Array


@dataclass(frozen=True)
class Mapped:
    """Queries, keys and values, each [B, T, H * d].

    Attributes:
        query, key, value: the numbers.
        wrong: what is wrong with them; empty for the right ones.
        meant: whether an option that is not known might mean it.
    """

    query: Array
    key: Array
    value: Array
    wrong: str = ""
    meant: bool = False


_ROLES = ("query", "key", "value")


def linear(x: Array, of: Linear) -> Array:
    """Apply an affine map."""
    y: Array = x @ of.weight.T
    return y if of.bias is None else y + of.bias


def wrong_maps(tensors: tuple[Array, Array, Array], maps: ProjectionWeights) -> Iterator[Mapped]:
    """Yield the right queries, keys and values, and wrong ones; ``tensors`` are query, key and value [B, T, d_model]."""
    own = dict(zip(_ROLES, (maps.query, maps.key, maps.value), strict=True))
    given = dict(zip(_ROLES, tensors, strict=True))
    right = _of({role: linear(given[role], own[role]) for role in _ROLES})
    yield right
    for role, of in itertools.permutations(_ROLES, 2):
        if own[of].weight.shape == own[role].weight.shape:
            other = linear(given[role], own[of])
            yield _changed(right, role, other, f"the {role} is projected with the map of the {of}")
        if given[of].shape == given[role].shape and given[of] is not given[role]:
            other = linear(given[of], own[role])
            yield _changed(right, role, other, f"the {role} is made of the tensor of the {of}")
    if right.key.shape == right.value.shape:
        yield Mapped(right.query, right.value, right.key, "keys and values are exchanged", meant=True)
    if right.key.shape == right.query.shape:
        yield Mapped(right.key, right.query, right.value, "queries and keys are exchanged", meant=True)
    if len({each.weight.shape for each in own.values()}) == 1:
        for of in _ROLES:
            same = {role: linear(given[role], own[of]) for role in _ROLES}
            yield _of(same, f"queries, keys and values have the map of the {of}")
    if all(each.weight.shape[0] == each.weight.shape[1] for each in own.values()):
        turned = {r: given[r] @ m.weight + (0 if m.bias is None else m.bias) for r, m in own.items()}
        yield _of(turned, "the maps of queries, keys and values are transposed")
        for role in _ROLES:
            yield _changed(right, role, turned[role], f"the map of the {role} is transposed")
    for role in ("query", "value"):  # without that of the key the weights are the same
        if own[role].bias is not None:
            yield _changed(right, role, given[role] @ own[role].weight.T, f"the bias of the {role} is left out")
    if any(each.bias is not None for each in own.values()):
        yield _of({r: given[r] @ m.weight.T for r, m in own.items()}, "biases are left out", meant=True)


def _of(each: Mapping[str, Array], wrong: str = "", *, meant: bool = False) -> Mapped:
    return Mapped(each["query"], each["key"], each["value"], wrong, meant)


def _changed(right: Mapped, role: str, other: Array, wrong: str) -> Mapped:
    return _of({"query": right.query, "key": right.key, "value": right.value} | {role: other}, wrong)
