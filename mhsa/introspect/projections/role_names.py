"""Names of parameters: which of the four maps one is called, however it is spelled."""

from __future__ import annotations

import re

from mhsa.records.languages.other_languages import in_english

ROLES = ("query", "key", "value", "out")
QKV = ROLES[:3]
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
_PACKED = {"qkv": QKV, "kqv": ("key", "query", "value"), "qvk": ("query", "value", "key"), "kv": ("key", "value"),
           "vk": ("value", "key"), "qk": ("query", "key"), "in": QKV, "vkq": ("value", "key", "query"),
           "kvq": ("key", "value", "query"), "vqk": ("value", "query", "key"), "packed": QKV}  # fmt: skip


_RESIDUAL = re.compile(r"(?<![a-z])(res|residual|shortcut|skip)(?![a-z])", re.IGNORECASE)


def names_residual(path: str) -> bool:
    """Whether a name says that a map is that of a residual, which is none of the four: W_Res, skip.weight."""
    return _RESIDUAL.search(re.sub(r"_|(?<=[a-z])(?=[A-Z])", " ", path)) is not None


def named_roles(path: str) -> tuple[str, ...]:
    """Return roles that the path's last telling component names; empty when none does."""
    components = path.split(".")
    if _is_layer_of_a_wrapper(components):
        components = components[:-2]
    for component in reversed(components):
        words = re.findall(r"[a-z]+|[A-Z]+(?![a-z])|[A-Z][a-z]*", in_english(component))
        telling = [w.lower() for w in words if w.lower() not in _FILLER]
        if not telling:
            continue
        hits = [roles for word in telling if (roles := _word_roles(word))]
        if all(len(h) == 1 for h in hits) and len({h[0] for h in hits}) in (2, 3) and ("out",) not in hits:
            return tuple(h[0] for h in hits)  # query_key_value, w_q_k
        if hits:
            return hits[0]
    return ()


_SUFFIXES = ("w", "proj", "linear", "layer", "lin", "fc", "b", "s", "net", "weight", "bias", "trans", "transform", "map", "mat",
             "dense", "conv", "mlp")  # fmt: skip
_LAYER = re.compile(r"conv|linear|dense|proj|fc", re.IGNORECASE)


def _is_layer_of_a_wrapper(components: list[str]) -> bool:
    """Whether a weight is that of the one layer of a wrapper, which calls it ``out``: query_conv.out.weight."""
    return (
        components[-1] == "weight" and len(components) > 2 and components[-2] == "out" and bool(_LAYER.search(components[-3]))
    )


def _word_roles(word: str) -> tuple[str, ...]:
    """Return roles named by one word, glued forms such as wq, toqkv, queryproj and qw included."""
    stripped = {word}
    for prefix in ("w", "to", "fc", "lin", "linear", "proj", "b", "dense", "c", "m"):
        stripped.add(word.removeprefix(prefix))
    for suffix in _SUFFIXES:
        stripped |= {s.removesuffix(suffix) for s in tuple(stripped)}
    for candidate in sorted(stripped, key=len, reverse=True):
        if candidate in _PACKED:
            return _PACKED[candidate]
        for role, words in _WORDS.items():
            if candidate in words:
                return (role,)
    return ()


def tells_order(path: str) -> bool:
    """Whether a name says in which order it holds several maps: ``qkv`` does, ``in_proj`` and ``packed`` do not."""
    words = {word.lower() for word in re.findall(r"[A-Za-z]+", path.replace("_", " "))}
    return not words & {"in", "packed"}
