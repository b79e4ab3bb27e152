"""What to try for a required argument that is not known by name. What is taken is printed, and counts only with an exact fit.

A value may switch something off or change the formula; so a module that is built with a guess and is not exactly attention is
asked about (``mhsa/introspect/readings/guessed_arguments.py``) instead of being called wrong.
"""

from __future__ import annotations

import enum
import inspect
import itertools
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from torch import nn

from mhsa.source.written_code import classes_of
from mhsa.subject.construction.argument_roles import LENGTH, role_of
from mhsa.subject.construction.argument_use import Use, use_of
from mhsa.subject.construction.by_source.closed_sets import is_plain, members, plain_first
from mhsa.subject.construction.by_source.rotations import rotations
from mhsa.subject.construction.by_source.score_scale import score_scale
from mhsa.subject.construction.guess import EPSILON, IDENTITY, LAST, Core, Guess, is_same

_ATTEMPTS = 64  # constructors that are called in vain: a fraction of a second
_WIDTH_WORDS = {"dim", "dims", "width", "channel", "channels", "chan", "feature", "features", "feat", "d", "units", "hidden",
                "embed", "emb", "embd", "embedding", "size", "depth", "in", "out", "inner"}  # fmt: skip
_NO_WIDTH = {"window", "patch", "kernel", "vocab", "batch", "block", "grid", "image", "img", "chunk", "pool", "codebook", "num",
             "spatial", "n", "seq", "max", "group", "groups", "spacial", "pos", "rel", "ratio", "factor"}  # fmt: skip
_COUNTED = {
    "in",
    "out",
    "inner",
    "hidden",
    "units",
    "features",
    "feats",
    "channels",
}  # num_in is a width, num_embeddings is none
_HEAD_WORDS = {"head", "heads"}
_WIDTHS = {"d_model", "other width", "head width"}
_COUNTS, _SHARING = {"num", "n", "number", "nb", "count"}, {"head", "heads", "kv", "groups"}


# Linear layers that a constructor is given: q_fc, kv_proj, out_linear.
_MAP = re.compile(
    r"(w_?)?(q|k|v|kv|o|out|output|query|key|value|keys|values|queries)_?(fc|proj|projection|linear|lin|layer|map|transform)",
    re.IGNORECASE,
)
_OF_LAYERS = re.compile(r"norm|act(ivation)?_layer|act(ivation)?_class", re.IGNORECASE)


def guesses(target: Any, name: str, parameter: inspect.Parameter | None, *, sized: bool, headed: bool) -> list[Guess]:
    """Return what to try for ``name``, the likeliest first.

    Args:
        target: the class or function that takes it, or whose configuration has it.
        name: of the argument or attribute.
        parameter: it, if it is an argument.
        sized, headed: whether other arguments are the width and the number of heads.
    """
    use = use_of(target, name, parameter)
    scale = score_scale(target, name)
    found = [
        *([Guess(role="map")] if _MAP.fullmatch(name) else []),
        *([Guess(role=scale)] if scale else []),
        *([Guess(value=1)] if _counts_layers(name) else []),
        *([Guess(value=False)] if "checkpoint" in name.lower() else []),  # of activations: it changes no number
        *([Guess(value=1)] if use.groups else []),
        *(Guess(value=member) for member in members(parameter)),
        *_by_annotation(parameter, use),
        *_by_use(target, name, use, sized=sized, headed=headed),
        *_by_name(name, sized=sized, headed=headed),
    ]
    found += LAST
    return [guess for n, guess in enumerate(found) if not any(is_same(guess, other) for other in found[:n])]


def is_established(target: Any, name: str, guess: Guess) -> bool:
    """Whether nothing leaves a doubt about a guess.

    It is a map by its name, one group of features that are normalised, layers are made with it and it is a width, a mask is and
    it is a number of positions, a number of heads is what is divided by it, the file has the part, it is a class of norms or
    activations, of which there may be none, the word for plain attention, a dict of keys that are read, or a scale by its
    name, by which scores are divided or multiplied: the usual one.
    """
    use = use_of(target, name)
    said = guess.value.name if isinstance(guess.value, enum.Enum) else guess.value
    word = (isinstance(said, str) and is_plain(said)) or (guess.value == 1 and _counts_layers(name))
    of_layers = guess.value is nn.Identity and _OF_LAYERS.search(name) is not None
    shape = isinstance(guess.value, tuple) and use.entries > 0
    width = (guess.role in _WIDTHS and use.width) or (guess.role == "head width" and use.width_of_head)
    return (
        guess.made is not None
        or bool(guess.keys)
        or word
        or of_layers
        or shape
        or width
        or guess.role == "map"
        or (guess.value == 1 and use.groups)
        or (guess.role == "length" and use.square)
        or (guess.role is not None and guess.role == score_scale(target, name))
    )


def optional_guesses(
    target: Any, parameters: Mapping[str, inspect.Parameter], *, switches: bool
) -> Iterator[dict[str, Guess]]:  # fmt: skip
    """Yield other values of optional arguments, where the defaults cannot be built: of what is None and called, of widths.

    With ``switches`` each of them follows, turned round.
    """
    none = [n for n, p in parameters.items() if p.default is None and role_of(n) != "head"]
    yield from ({n: guess} for n in none for guess in _identities(use_of(target, n)))
    widths = {n: Guess(role="other width") for n in none if use_of(target, n).width}
    if len(widths) > 1:  # one may be enough: the others are computed from it where they are None
        yield from ({n: guess} for n, guess in widths.items())
    if widths:
        yield widths
    sized = {n: Guess(role="other width") for n, p in parameters.items() if type(p.default) is int and _is_width(target, n)}
    if sized:
        yield widths | sized
    if switches:
        yield from ({n: Guess(value=not p.default)} for n, p in parameters.items() if type(p.default) is bool)


def _is_width(target: Any, name: str) -> bool:
    """Whether an optional number is a width by its name, and by its use."""
    return role_of(name) in ("d_model", "other width") and use_of(target, name).width


def combinations(choices: Mapping[str, list[Guess]]) -> Iterator[dict[str, Guess]]:
    """Yield one guess for each name, those first in which each is a likely one."""
    ranked = sorted(itertools.product(*(range(min(len(each), 6)) for each in choices.values())), key=sum)
    for places in ranked[:_ATTEMPTS]:
        yield {name: choices[name][place] for name, place in zip(choices, places, strict=True)}


def _by_annotation(parameter: inspect.Parameter | None, use: Use) -> list[Guess]:
    annotation = parameter.annotation if parameter is not None else None
    if annotation in (str, "str"):
        return [Guess(value=word) for word in plain_first(list(use.words))]
    if annotation in (float, "float") and not use.rate:
        return [Guess(value=EPSILON)] if use.epsilon else [Guess(value=1.0)]
    return []


def _by_use(target: Any, name: str, use: Use, *, sized: bool, headed: bool) -> list[Guess]:
    found = [Guess(role="head width")] if use.width_of_head and not headed else []
    roles = {role for other in use.names if (role := role_of(other)) is not None}  # self.num_heads = config.x
    found += [Guess(role="head")] if "head" in roles and not headed and not use.width_of_head else []
    found += [Guess(role="head width")] if "head width" in roles else []
    found += [Guess(role="head")] if use.divides and not use.width_of_head and not headed else []
    found += [Guess(value=EPSILON)] if use.epsilon or "eps" in _words(name) else []
    found += [Guess(role="dropout")] if use.rate else []
    found += [Guess(role="length")] if use.square else []
    found += [Guess(role="other width" if sized else "d_model")] if use.width and _may_be_width(name) else []
    found += [Guess(value=word) for word in plain_first(list(use.words))]
    found += [Guess(keys=keys) for keys in use.keys]
    found += [Guess(value=(*[1] * (use.entries - 1), LENGTH))] if use.entries else []
    rotating = [Guess(made=rotation) for rotation in rotations(target, name) if use.called]
    found += rotating
    found += [Guess(made=replace(core, whole=use.makes)) for core in _cores(target)] if use.called else []
    found += _identities(use) if not rotating else []  # what is never rotated is not what the file computes
    found += [Guess(value=False)] if use.switch and not use.words else []
    return found + ([Guess(role="other width" if sized else "d_model")] if "d_model" in roles else [])


def _identities(use: Use) -> list[Guess]:
    """Return the class and an object of it, for what is called: a class of activations or norms is, or an activation itself."""
    return [Guess(value=nn.Identity), Guess(value=IDENTITY)] if use.called else []


def _by_name(name: str, *, sized: bool, headed: bool) -> list[Guess]:
    words = _words(name)
    if words & _COUNTS and words & _SHARING:
        return [Guess(role="kv head" if headed else "head")]
    if words & _WIDTH_WORDS and not words & _NO_WIDTH:
        return [Guess(role="head width" if words & _HEAD_WORDS else "other width" if sized else "d_model")]
    return []


def _may_be_width(name: str) -> bool:
    words = _words(name)
    return not (words - {"num", "n"} if words & _COUNTED else words) & _NO_WIDTH


def _counts_layers(name: str) -> bool:
    """Whether a name is that of a number of layers, of which an attention is one: it scales how weights are drawn, at most."""
    words = _words(name)
    return bool(words & _COUNTS) and bool(words & {"layer", "layers", "block", "blocks"})


def _cores(target: Any) -> list[Core]:
    """Return what the file has that is called like an attention, has no parameters and needs no argument.

    One with a switch that plain attention has off comes with it switched off first.
    """
    file = inspect.getmodule(target)
    found = []
    for kind in classes_of(file).values() if file is not None else ():
        called = issubclass(kind, nn.Module) and re.search("attention|attn", kind.__name__, re.IGNORECASE)
        if called and kind is not target:
            try:
                if not list(kind().parameters()):
                    parameters = inspect.signature(kind).parameters
                    off = tuple(n for n, p in parameters.items() if p.default is True and role_of(n) == "off")
                    found += [Core(kind, off), Core(kind)] if off else [Core(kind)]
            except Exception:  # it needs something
                continue
    return found


def _words(name: str) -> set[str]:
    return {word.lower() for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])", name)}
