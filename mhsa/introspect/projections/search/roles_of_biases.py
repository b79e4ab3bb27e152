"""Which bias is that of which weight: by its path, its name, or its axes."""

from __future__ import annotations

from mhsa.introspect.projections.parts import place_of
from mhsa.introspect.projections.role_names import named_roles
from mhsa.introspect.projections.search.candidates import Candidates, Weights


def find_biases(candidates: Candidates, weights: Weights) -> Weights:
    """Return how the biases are read, next to weights that are known."""
    found: Weights = {}
    owners = {path.removesuffix(".weight"): reading for path, reading in weights.items() if path.endswith(".weight")}
    parents = [path.rpartition(".")[0] for path in weights]
    siblings = {p: reading for p, reading in zip(parents, weights.values(), strict=True) if p and parents.count(p) == 1}
    with_own = {w.roles for path, w in weights.items() if f"{path.removesuffix('.weight')}.bias" in candidates.groups}
    for path in candidates.groups:
        if not candidates.is_bias(path):
            continue
        owner = owners.get(path.removesuffix(".bias")) or siblings.get(path.rpartition(".")[0])
        if place := place_of(path):  # the bias of one of four maps in one parameter
            owner = next((w for p, w in weights.items() if place_of(p) == place), owner)
        roles = owner.roles if owner else named_roles(path)
        if owner is None and roles in with_own:  # bias_k next to k_proj.bias: a learned key, and no second bias
            continue
        owner = owner or next((w for w in weights.values() if w.roles == roles), None)
        if owner is None and not roles and len(candidates.shape(path)) > 1:  # the only packed map that it has the axes for
            fitting = [w for w in weights.values() if len(w.roles) > 1 and candidates.readings(path, w.roles, True)]
            owner, roles = (fitting[0], fitting[0].roles) if len(fitting) == 1 else (None, roles)
        possible = candidates.readings(path, roles, True) if roles else []
        if owner and len(roles) > 1:  # packed biases are packed as their weights are
            order = "".join(label for label in owner.labels if label not in ("in", "one"))
            possible = [r for r in possible if "".join(label for label in r.labels if label != "one") == order] or possible
        if possible:
            found[path] = possible[0]
    return found
