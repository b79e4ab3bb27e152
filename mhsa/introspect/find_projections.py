"""Finds the projections of a module that nobody described: by name, by shape, and by where gradients flow.

Names decide which parameter is which, because a module that multiplies the key by ``w_value`` is wrong. Shapes, at
sizes that are all different, decide what each axis is. Where both leave a choice (x @ W or W @ x, the order inside
a packed matrix, names that say nothing) one backward pass of tagged inputs settles it: the query carries only feature
0, the key only feature 1, the value only feature 2, so the gradient of each weight is confined to the columns of its
role. No number is compared with an expected one: a wrong scale, axis or mask does not disturb the finding.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor, nn

from mhsa.introspect.writable_views import require_views
from mhsa.records.errors import SubjectError
from mhsa.subject.adapter import Adapter
from mhsa.subject.parameter_layout import Reading, Sizes, readings
from mhsa.subject.projections import Projections, Role, View

ROLES = ("query", "key", "value", "out")
_QKV = ROLES[:3]
_SHARED = ("key", "value")  # whose heads several query heads may share
_FILLER = {"w", "weight", "weights", "to", "fc", "linear", "lin", "proj", "projection", "projections", "layer", "dense", "net",
           "mat", "matrix", "map", "head", "heads", "attn", "attention", "self", "mha", "param", "kernel", "project", "b",
           "bias", "biases", "l", "multi", "transform", "mats", "ws", "linears", "layers", "nn", "c"}  # fmt: skip
_WORDS = {
    "query": {"q", "query", "queries", "qs", "que"},
    "key": {"k", "key", "keys", "ks"},
    "value": {"v", "value", "values", "vs", "val", "vals"},
    "out": {"o", "out", "output", "outputs", "unify", "unifyheads", "merge", "combine", "final", "concat", "mix", "mixer",
            "collect", "os", "result"},
}  # fmt: skip
_PACKED = {"qkv": _QKV, "kqv": ("key", "query", "value"), "qvk": ("query", "value", "key"), "kv": ("key", "value"),
           "vk": ("value", "key"), "qk": ("query", "key"), "in": _QKV, "vkq": ("value", "key", "query"),
           "kvq": ("key", "value", "query"), "vqk": ("value", "query", "key"), "packed": _QKV}  # fmt: skip
# Gradients below this share of the largest count as zero: rounding in float64 leaves about 1e-16, real ones about 1.
_NOTHING = 1e-9

Forward = Callable[[Tensor, Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Recipe:
    """How to read each parameter of a module class; keys are parameter paths, with ``#`` for the index of a head."""

    readings: dict[str, Reading] = field(default_factory=dict)

    def bind(self, module: nn.Module, sizes: Sizes) -> Projections:
        """Views into this module, which may have other sizes than the one that the recipe was found on."""
        found: dict[tuple[str, bool], list[Tensor]] = {}
        # Under all their names: a layer that is registered twice plays two roles, which a property will object to.
        named = module.named_parameters(remove_duplicate=False)
        for path, parameter in sorted(named, key=lambda item: _natural(item[0])):
            reading = self._reading(path)
            for role in reading.roles if reading else ():
                assert reading is not None
                pieces = reading.pieces(parameter, role, sizes)
                found.setdefault((role, reading.bias), []).extend(pieces)
        roles = []
        for role in ROLES:
            bias = found.get((role, True))
            if (role, False) not in found:
                built = f"head={sizes.head}, d_model={sizes.d_model}"
                raise SubjectError(f"with {built} the module has no {role} projection, and in other sizes it has one")
            weight = View(tuple(found[role, False]), dim=1 if role == "out" else 0)
            roles.append(Role(weight, View(tuple(bias)) if bias else None))
        return Projections(*roles)

    def _reading(self, path: str) -> Reading | None:
        if path in self.readings:
            return self.readings[path]
        return next((self.readings[p] for p in _with_head_index(path) if p in self.readings), None)

    def describe(self) -> str:
        """Return one phrase per role: where its parameters were found and, where it is not plain, how they are read."""
        parts = []
        for path, reading in self.readings.items():
            if reading.bias:
                continue
            how = "" if reading.labels in (("hd", "in"), ("out", "hd")) else f" as {reading.words}"
            parts.append(f"{', '.join(reading.roles)} from {path}{how}")
        return "; ".join(parts)


def discover(module: nn.Module, sizes: Sizes, forward: Forward, inputs: str, *, grouped: bool = False) -> Recipe:
    """Find the recipe on ``module`` (float64, eval); ``inputs`` is ``"qkv"``, ``"q,kv"`` or ``"x"``.

    Where they are ``grouped``, keys and values may have fewer heads than queries.

    Raises:
        SubjectError: a role cannot be found, or a parameter beyond the four maps changes the result.
    """
    shapes = {path: tuple(p.shape) for path, p in module.named_parameters(remove_duplicate=False)}
    linear = {f"{path}.weight" for path, m in module.named_modules(remove_duplicate=False) if isinstance(m, nn.Linear)}
    groups = _group_heads(shapes, sizes)
    tags = _tag(module, sizes, forward, inputs)

    def choices(path: str, roles: tuple[str, ...], bias: bool) -> list[Reading]:
        per_head = "#" in path and path not in shapes
        member = groups[path][0]
        shared = grouped and bool(roles) and set(roles) <= set(_SHARED)
        for own in sizes.shared() if shared else (sizes,):
            found = readings(shapes[member], roles, own, linear=member in linear, bias=bias, per_head=per_head)
            if listed := [replace(reading, shared=shared) for reading in found]:
                return listed
        return []

    weights: dict[str, Reading] = {}
    unnamed: list[str] = []
    for path in groups:
        if _is_bias(path, shapes[groups[path][0]]):
            continue
        roles = _named_roles(path)
        possible = choices(path, roles, False) if roles else []
        if possible:
            weights[path] = next((r for r in possible if tags.fit(r, groups[path], sizes)), possible[0])
        else:
            unnamed.append(path)
    for path, roles in _guesses(unnamed, weights):
        fitting = [r for r in choices(path, roles, False) if tags.fit(r, groups[path], sizes)]
        if fitting and path not in weights:
            weights[path] = fitting[0]
    # What no gradient told (the module may be too wrong for that) goes by the order of definition.
    for packed in (True, False):
        for path, roles in _in_order([p for p in unnamed if p not in weights], weights, packed=packed):
            if possible := choices(path, roles, False):
                weights[path] = possible[0]
    _require_all_roles(weights, shapes)
    recipe = weights | _biases(weights, groups, shapes, choices)
    used = {member for path in recipe for member in groups[path]}
    for path in shapes:
        if path not in used and tags.moves(path):
            raise SubjectError(
                f"parameter {path} {list(shapes[path])} changes the result but is no part of plain multi-head attention "
                f"(found: {Recipe(recipe).describe()}). Judge the attention alone, or describe the module in an "
                "mhsa.Adapter"
            )
    return Recipe(recipe)


def _missing(weights: dict[str, Reading]) -> list[str]:
    return [r for r in ROLES if not any(r in w.roles for w in weights.values())]


def _guesses(unnamed: Sequence[str], weights: dict[str, Reading]) -> list[tuple[str, tuple[str, ...]]]:
    """Return roles to try for weights whose names say nothing: packed ones, then each that is missing."""
    missing = _missing(weights)
    packed = [(path, _QKV) for path in unnamed if set(_QKV) <= set(missing)]
    return packed + [(path, (role,)) for path in unnamed for role in missing]


def _in_order(unnamed: Sequence[str], weights: dict[str, Reading], *, packed: bool) -> list[tuple[str, tuple[str, ...]]]:
    """Return the roles of definition order, as in clones(nn.Linear(d_model, d_model), 4) or c_attn, c_proj."""
    missing = _missing(weights)
    if packed:
        return [(path, _QKV) for path in unnamed[:1] if set(_QKV) <= set(missing)]
    return [(p, (r,)) for p, r in zip(unnamed, missing, strict=False)] if len(unnamed) == len(missing) else []


def _require_all_roles(weights: dict[str, Reading], shapes: dict[str, tuple[int, ...]]) -> None:
    missing = [r for r in ROLES if sum(r in w.roles for w in weights.values()) != 1]
    if missing:
        listed = ", ".join(f"{path} {list(shape)}" for path, shape in shapes.items()) or "none"
        raise SubjectError(
            f"cannot tell which parameters are the {', '.join(missing)} projection; the module has: {listed}. "
            "Say it in an mhsa.Adapter with a projections() method"
        )


def _biases(
    weights: dict[str, Reading], groups: dict[str, list[str]], shapes: dict[str, tuple[int, ...]],
    choices: Callable[[str, tuple[str, ...], bool], list[Reading]],
) -> dict[str, Reading]:  # fmt: skip
    found: dict[str, Reading] = {}
    owners = {path.removesuffix(".weight"): reading for path, reading in weights.items() if path.endswith(".weight")}
    parents = [path.rpartition(".")[0] for path in weights]
    siblings = {p: reading for p, reading in zip(parents, weights.values(), strict=True) if p and parents.count(p) == 1}
    for path in groups:
        if not _is_bias(path, shapes[groups[path][0]]):
            continue
        owner = owners.get(path.removesuffix(".bias")) or siblings.get(path.rpartition(".")[0])
        roles = owner.roles if owner else _named_roles(path)
        owner = owner or next((w for w in weights.values() if w.roles == roles), None)
        possible = choices(path, roles, True) if roles else []
        if owner and len(roles) > 1:  # packed biases are packed as their weights are
            order = "".join(label for label in owner.labels if label != "in")
            possible = [r for r in possible if "".join(r.labels) == order] or possible
        if possible:
            found[path] = possible[0]
    return found


def _is_bias(path: str, shape: tuple[int, ...]) -> bool:
    last = path.rsplit(".", 1)[-1]
    return len([s for s in shape if s > 1]) <= 1 or "bias" in last or last.startswith("b_")


def _named_roles(path: str) -> tuple[str, ...]:
    """Return roles that the path's last telling component names; empty when none does."""
    for component in reversed(path.split(".")):
        words = re.findall(r"[a-z]+|[A-Z]+(?![a-z])|[A-Z][a-z]*", component)
        telling = [w.lower() for w in words if w.lower() not in _FILLER]
        if not telling:
            continue
        hits = [roles for word in telling if (roles := _word_roles(word))]
        if all(len(h) == 1 for h in hits) and len({h[0] for h in hits}) in (2, 3) and ("out",) not in hits:
            return tuple(h[0] for h in hits)  # query_key_value, w_q_k
        if hits:
            return hits[0]
    return ()


def _word_roles(word: str) -> tuple[str, ...]:
    """Return roles named by one word, glued forms such as wq, toqkv, queryproj and qw included."""
    stripped = {word}
    for prefix in ("w", "to", "fc", "lin", "linear", "proj", "b", "dense", "c", "m"):
        stripped.add(word.removeprefix(prefix))
    for suffix in ("w", "proj", "linear", "layer", "lin", "fc", "b", "s", "net", "weight", "bias"):
        stripped |= {s.removesuffix(suffix) for s in tuple(stripped)}
    for candidate in sorted(stripped, key=len, reverse=True):
        if candidate in _PACKED:
            return _PACKED[candidate]
        for role, words in _WORDS.items():
            if candidate in words:
                return (role,)
    return ()


def _group_heads(shapes: dict[str, tuple[int, ...]], sizes: Sizes) -> dict[str, list[str]]:
    """Paths grouped so that the copies of one parameter in every head are one entry, its head index shown as #."""
    together: dict[str, list[str]] = {}
    for path, shape in shapes.items():
        if sizes.d_k in shape or 3 * sizes.d_k in shape or 2 * sizes.d_k in shape:
            for pattern in _with_head_index(path):
                together.setdefault(pattern, []).append(path)
    groups: dict[str, list[str]] = {}
    for path in shapes:
        pattern = next((p for p in _with_head_index(path) if len(together.get(p, [])) == sizes.head), path)
        groups.setdefault(pattern, []).append(path)
    return groups


def _with_head_index(path: str) -> list[str]:
    parts = path.split(".")
    return [".".join([*parts[:i], "#", *parts[i + 1 :]]) for i, part in enumerate(parts) if part.isdigit()]


def _natural(path: str) -> list[tuple[int, str]]:
    return [(int(part), "") if part.isdigit() else (-1, part) for part in path.split(".")]


@dataclass(frozen=True)
class _Tags:
    """Gradients of the two tagged passes; empty where the module does not let gradients through."""

    inputs: str
    two_keys: dict[str, Tensor]
    one_key: dict[str, Tensor]

    def moves(self, path: str) -> bool:
        """Whether a parameter changes the result (yes, when nothing is known)."""
        if not self.two_keys:
            return True
        return any(path in g and bool(g[path].abs().max() > 0) for g in (self.two_keys, self.one_key))

    def fit(self, reading: Reading, members: list[str], sizes: Sizes) -> bool:
        """Whether the gradients are confined as this reading says."""
        return all(self._fits_role(reading, role, members, sizes) for role in reading.roles)

    def _fits_role(self, reading: Reading, role: str, members: list[str], sizes: Sizes) -> bool:
        if not self.two_keys:
            return False
        tagged = {"qkv": ("0", "1", "2"), "q,kv": ("0", "1", "1"), "x": ("0", "01", "01")}[self.inputs]
        columns = {"query": tagged[0], "key": tagged[1], "value": tagged[2], "out": "0"}[role]
        expected = set(columns)
        if any(member not in self.two_keys for member in members):
            return False
        two = [self._canonical(self.two_keys, reading, role, m, sizes) for m in members]
        support = {str(i) for g in two for i in self._support(g, 0 if role == "out" else 1)}
        if support != expected:
            return False
        if self.inputs == "qkv" or role == "out":
            return True
        # With a single key its weight is 1 whatever the score: only value and out matter then.
        one = [self._canonical(self.one_key, reading, role, m, sizes) for m in members]
        scale = max(float(g.abs().max()) for g in self.one_key.values())
        moved = max(float(g.abs().max()) for g in one) > _NOTHING * scale
        return moved == (role == "value")

    @staticmethod
    def _canonical(gradients: dict[str, Tensor], reading: Reading, role: str, path: str, sizes: Sizes) -> Tensor:
        return torch.cat(reading.pieces(gradients[path], role, sizes), dim=1 if role == "out" else 0)

    def _support(self, gradient: Tensor, axis: int) -> list[int]:
        scale = max(float(g.abs().max()) for g in self.two_keys.values())
        size = gradient.abs().amax(dim=1 - axis)
        return [i for i, s in enumerate(size.tolist()) if s > _NOTHING * scale]


def _tag(module: nn.Module, sizes: Sizes, forward: Forward, inputs: str) -> _Tags:
    width = sizes.d_model
    if width < 3:
        return _Tags(inputs, {}, {})
    parameters = dict(module.named_parameters(remove_duplicate=False))

    def gradients(keys: int) -> dict[str, Tensor]:
        def tagged(length: int, features: Sequence[int]) -> Tensor:
            x = torch.zeros(1, length, width, dtype=torch.float64)
            for position, feature in enumerate(features):
                x[0, position, feature] = 1.0 + 0.5 * position
            return x

        if inputs == "x":
            x = tagged(keys, (0, 1)[:keys])
            query, key, value = x, x, x
        else:
            query = tagged(2 if keys > 1 else 1, (0, 0)[: 2 if keys > 1 else 1])
            key = tagged(keys, (1, 1)[:keys])
            value = key if inputs == "q,kv" else tagged(keys, (2, 2)[:keys])
        out = forward(query, key, value)
        found = torch.autograd.grad(out[0, 0, 0], list(parameters.values()), allow_unused=True)
        return {p: torch.zeros_like(parameters[p]) if g is None else g for p, g in zip(parameters, found, strict=True)}

    try:
        return _Tags(inputs, gradients(2), gradients(1))
    except Exception:  # whatever is wrong with this module, its properties will say so; tags only settle choices
        return _Tags(inputs, {}, {})


def unregistered(module: nn.Module) -> str:
    """Say which layers or tensors a module keeps where torch does not look for them: in plain lists, tuples, dicts."""
    known = {id(p) for p in module.parameters()} | {id(m) for m in module.modules()}
    for path, part in module.named_modules():
        for name, held in vars(part).items():
            if name.startswith("_") and name in vars(nn.Module()):
                continue
            members = held.values() if isinstance(held, dict) else held if isinstance(held, (list, tuple)) else [held]
            for member in members:
                trained = isinstance(member, Tensor) and member.is_leaf and member.requires_grad
                layer = isinstance(member, nn.Module) and any(True for _ in member.parameters())
                if (trained or layer) and id(member) not in known:
                    where = f"{path}.{name}" if path else name
                    return f"{where} holds a {type(member).__name__} that is not registered in the module"
    return ""


def bind_projections(
    adapter: Adapter, module: nn.Module, sizes: Sizes, forward: Callable[..., Tensor]
) -> tuple[Callable[[nn.Module, Sizes], Projections], str]:
    """Return how to view the maps of any module that ``adapter`` builds, and a line on where they were found.

    ``module`` has these sizes, generic parameters, and lets gradients through.

    Raises:
        SubjectError: they cannot be found.
        Question: the adapter's are no views of its parameters.
    """
    if adapter.projections(module) is None:
        grouped = adapter.contract.kv_heads == "grouped"
        recipe = discover(module, sizes, lambda q, k, v: forward(module, q, k, v), adapter.inputs, grouped=grouped)
        return recipe.bind, recipe.describe()

    def bind(other: nn.Module, _: Sizes) -> Projections:
        projections = adapter.projections(other)
        if projections is None:
            raise SubjectError(f"{type(adapter).__name__}.projections() returned None for one module, but not for another")
        return projections

    require_views(lambda other: bind(other, sizes), module, f"{type(adapter).__name__}.projections()")
    return bind, ""
