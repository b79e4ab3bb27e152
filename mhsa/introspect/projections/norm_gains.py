"""Gains of normalised queries and keys: parameters of a part, or of the module itself, with a usual name."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from torch import Tensor, nn

from mhsa.oracle.formula.fields import QkNorm
from mhsa.records.errors import Question

_ROLES = {"query": r"q|query|queries", "key": r"k|key|keys"}
_NORM = r"norm|layernorm|rmsnorm|rms|ln|gain|gamma|scale"
_WEIGHT, _BIAS = {"weight", "scale", "gamma", "gain", "g", "alpha", "w", "weights"}, {"bias", "beta", "shift", "b"}


def role_of_norm(name: str) -> str:
    """Return whose normalisation a part or parameter is called after, "query" or "key"; empty where it is neither.

    q_norm, norm_q, query_layernorm, qNorm, ln_k, k_rms_norm, q_gain are such names; norm, qk_proj and q_proj are not.
    """
    words = [w.lower() for w in re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])", name)]
    glued = [re.fullmatch(rf"({'|'.join(_ROLES.values())})({_NORM})", w) for w in words]
    words = [part for word, match in zip(words, glued, strict=True) for part in (match.groups() if match else (word,)) if part]
    if not any(re.fullmatch(_NORM, word) for word in words):
        return ""
    found = {role for role, pattern in _ROLES.items() if any(re.fullmatch(pattern, word) for word in words)}
    return found.pop() if len(found) == 1 else ""


def norm_parts(module: nn.Module) -> Iterator[tuple[str, str, nn.Module]]:
    """Yield role, path and part of what is called a normalisation of queries or keys."""
    for path, part in module.named_modules(remove_duplicate=False):
        role = role_of_norm(path.rpartition(".")[2])
        if role:
            yield role, path, part


def named_gains(parameters: Mapping[str, Tensor]) -> dict[str, str]:
    """Return the paths of gains and shifts, each with its name as a view: ``query_norm.weight`` and so on."""
    found: dict[str, str] = {}
    for path in parameters:
        owner, _, last = path.rpartition(".")
        role = role_of_norm(owner.rpartition(".")[2])
        kind = "bias" if last.lower() in _BIAS else "weight" if last.lower() in _WEIGHT else ""
        if not role and (role := role_of_norm(last)):  # of the module itself: q_gain, k_norm_bias
            kind = "bias" if re.search("bias|beta|shift", last.lower()) else "weight"
        view = f"{role}_norm.{kind}"
        if role and kind and view not in found.values():
            found[path] = view
    return found if {"query_norm.weight", "key_norm.weight"} & set(found.values()) else {}


def kind_of_norm(module: nn.Module) -> str:
    """Return which kind the classes of its norms are called: "layer", "l2", or "rms", which most are."""
    for _, _, part in norm_parts(module):
        name = type(part).__name__.lower()
        if "rms" not in name and ("layernorm" in name or name == "ln"):
            return "layer"
        if "l2" in name:
            return "l2"
    return "rms"


def require_norms(module: nn.Module, gains: Mapping[str, str], norm: QkNorm | None) -> None:
    """Raise where a module has gains of normalised queries or keys, and nothing declares that they are normalised.

    Raises:
        Question: with the declaration.
    """
    if gains and norm is None:
        paths = ", ".join(gains)
        raise Question(
            f"{'parameters' if len(gains) > 1 else 'parameter'} {paths}: queries and keys seem to be normalised before they go "
            "into the scores",
            {"qk_norm": kind_of_norm(module)},
        )
