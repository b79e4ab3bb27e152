"""Finds the attention inside a module that does more: norms before or after it, a residual, a feed-forward.

One call is watched. The attention's output is what its out projection gives (a part with such a name, or else the attention
as a part of its own); with it, the inputs and the norms, what the module gives must be explained exactly, or a feed-forward
with a norm must follow, or any after a part that is called attention. No number is compared with what attention must give: a
bug inside does not disturb the finding.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from torch import Tensor, nn

from mhsa.introspect.layers.layer_formula import layer_formula
from mhsa.introspect.layers.same import same
from mhsa.introspect.projections.role_names import named_roles
from mhsa.introspect.projections.search.layers import is_linear, is_norm
from mhsa.introspect.surroundings.after_attention import after_attention, behind_a_gate
from mhsa.introspect.surroundings.gates import activated
from mhsa.introspect.surroundings.in_front import in_front, kinds_of, shows
from mhsa.introspect.surroundings.inner_attention import Joined, Surroundings
from mhsa.introspect.surroundings.parts_after import drops_after, only_after
from mhsa.introspect.surroundings.uneven import require_even
from mhsa.introspect.surroundings.watched_call import PartCall, as_if_turned, watch
from mhsa.records.conventions.layer import ALONE, Sum
from mhsa.records.conventions.usual_layers import is_usual

_ATTENTION = re.compile(r"attn|attention|mha(?![a-z])|multi_?head", re.IGNORECASE)
# Names of what is only a step of an attention: MultiHeadQKVProjection, attn_output.
_STEP = re.compile(
    r"(proj(ection|ector)?s?|linear|dense|out(put)?|norm|drop(out)?|bias|mask|embed(ding)?s?|scores?|qkv)$", re.IGNORECASE
)

POOLING: tuple[str, tuple[str, ...]] = (
    "the pooling of tokens, and all that comes after the attention", ("what comes after the attention",)
)  # fmt: skip
_REST = "the feed-forward and all else that comes after the attention"


def find_surroundings(module: nn.Module, call: Callable[[], Any], within: str = "") -> Surroundings | None:
    """Return what is around the attention of ``module`` (float64, eval, generic parameters), None if nothing is found.

    ``call`` makes one call of it, of sizes that all differ. What it raises is raised. Only what is ``within``
    a part is looked at.
    """
    if not _may_have(module):
        return None
    calls, _ = watch(module, call)
    formula = functools.cache(lambda path: None if within else layer_formula(module, call, {path: "attention"}))
    first = next((n for n, c in enumerate(calls) if c.path == ""), None)
    if first is None or calls[first].output is None:
        return None
    calls, whole = calls[: first + 1], calls[first]  # it may be called once for each query
    final = whole.output
    assert final is not None
    images = (final, *(x for x in whole.given if x.dim() > 3))
    calls, whole = [c for c in calls if _is_within(c.path, within)], whole.with_pixels_of(final)
    pooled = final.dim() == 2 and bool(whole.given) and whole.given[0].dim() == 3
    # Tokens that are put back into a picture as they lie, alone or with all that is added to them, are in the wrong places:
    # that is a bug of what is judged.
    for as_they_lie in (False, True) if final.dim() > 3 else (False,):
        laid = [c.with_pixels_of(*images, as_they_lie=as_they_lie) for c in calls]
        for at, attention in _named(laid, whole.given[0]) if pooled else _candidates(laid, final):
            if around := _explain(module, laid, at, attention, whole, formula):
                require_even(laid, around.before)
                return around
    if final.dim() == 4:
        turned = replace(whole, gave=(as_if_turned(final), *whole.gave[1:]))
        laid = [c.with_pixels_of(*images) for c in calls]
        for at, attention in _candidates(laid, final):
            if attention.tokens and (around := _explain(module, laid, at, attention, turned, formula)):
                return replace(around, tokens=False)
    return _unexplained(module, [c.with_pixels_of(*images) for c in calls], whole, formula)


def _unexplained(
    module: nn.Module, calls: Sequence[PartCall], whole: PartCall, formula: Callable[[str], Sum | None]
) -> Surroundings | None:  # fmt: skip
    """Return what is around an attention behind a norm whose maps all have their names, whatever comes after it."""
    assert whole.output is not None
    for at, attention in _named(calls, whole.output):
        named = {role for c in calls[:at] if is_linear(c.part) for role in named_roles(f"{c.path}.weight")}
        if named_roles(f"{attention.path}.weight") == ("out",) and {"query", "key", "value"} <= named:
            return _explain(module, calls, at, attention, whole, formula, last=True)
    return None


def _is_within(path: str, part: str) -> bool:
    return not part or path in ("", part) or path.startswith(f"{part}.")


def _may_have(module: nn.Module) -> bool:
    """Whether a module has parts at all, so that one of them can be its out projection."""
    return any(path for path, _ in module.named_modules())


def _fitting(calls: Sequence[PartCall], final: Tensor) -> list[tuple[int, PartCall]]:
    """Return the calls of parts that are called once, and give what has the shape of the module's output."""
    return [
        (n, c) for n, c in enumerate(calls)
        if c.path and c.output is not None and c.output.shape == final.shape and sum(d.path == c.path for d in calls) == 1
    ]  # fmt: skip


def _candidates(calls: Sequence[PartCall], final: Tensor) -> Iterator[tuple[int, PartCall]]:
    """Yield the calls whose output may be the attention's, the likeliest first."""
    yield from _named(calls, final)
    fitting = _fitting(calls, final)
    yield from ((n, c) for n, c in fitting if is_linear(c.part) and not named_roles(f"{c.path}.weight"))
    yield from reversed([(n, c) for n, c in fitting if not is_linear(c.part) and not is_norm(c.part) and _has_a_map(c.part)])


def _named(calls: Sequence[PartCall], final: Tensor) -> Iterator[tuple[int, PartCall]]:
    """Yield those that names show."""
    fitting = _fitting(calls, final)
    linear = [(n, c) for n, c in fitting if is_linear(c.part)]
    yield from ((n, c) for n, c in linear if named_roles(f"{c.path}.weight") == ("out",) and not _is_of_feed_forward(c.path))
    yield from (
        (n, c) for n, c in fitting
        if not is_norm(c.part) and _is_called_attention(c) and not is_a_head(c, calls)
    )  # fmt: skip


def _is_called_attention(call: PartCall) -> bool:
    """Whether a part has parts of its own and the name of an attention, or its class has."""
    return is_called_attention(call.path, call.part) and any(True for _ in call.part.children())


def _is_within_attention(module: nn.Module, path: str) -> bool:
    """Whether a part is an attention by its name, or a part of one."""
    names = path.split(".")
    paths = [".".join(names[:n]) for n in range(1, len(names) + 1)]
    parts = [(path, module.get_submodule(path)) for path in paths]
    return any(is_called_attention(path, part) and any(True for _ in part.children()) for path, part in parts)


def is_called_attention(path: str, part: nn.Module) -> bool:
    """Whether a part has the name of an attention and not of a step of one, or its class has."""
    own = path.rpartition(".")[2]
    if named_roles(f"{own}.weight") in (("query",), ("key",), ("value",)):  # key = PrepareForMultiHeadAttention(...): a map
        return False
    return any(_ATTENTION.search(name) and not _STEP.search(name) for name in (own, type(part).__name__))


def is_a_head(call: PartCall, calls: Sequence[PartCall]) -> bool:
    """Whether another part of the same list and class is given the same tensors, as each head of a list of heads is."""
    return any(
        d.path != call.path
        and d.path.rpartition(".")[0] == call.path.rpartition(".")[0]
        and type(d.part) is type(call.part)
        and len(d.given) == len(call.given)
        and all(map(same, d.given, call.given))
        for d in calls
    )


def _has_a_map(part: nn.Module) -> bool:
    """Whether a part of an own class may be a linear layer: it has no parts, and a matrix or 1 x 1 kernels as a parameter."""
    return not any(True for _ in part.children()) and any(p.dim() >= 2 and p.shape[2:].numel() == 1 for p in part.parameters())


def _is_of_feed_forward(path: str) -> bool:
    return re.search(r"ffn?(?![a-z])|feed|mlp|intermediate", path, re.IGNORECASE) is not None and not _ATTENTION.search(path)


def _explain(
    module: nn.Module, calls: Sequence[PartCall], at: int, attention: PartCall, whole: PartCall,
    formula: Callable[[str], Sum | None], *, last: bool = False,
) -> Surroundings | None:  # fmt: skip
    inner, final = attention.output, whole.output
    assert inner is not None
    assert final is not None
    inputs = [x for x in whole.given if x.is_floating_point() and x.shape == final.shape]
    before = in_front(calls, whole.given, until=at)
    residuals = [*inputs, *(c.output for c in before if c.output is not None and c.output.shape == final.shape)]
    norms = [c for c in calls[at + 1 :] if c.path and is_norm(c.part) and c.given]
    text, parts = POOLING if final.shape != inner.shape else after_attention(inner, final, residuals, norms)
    query = whole.given[:1]  # the first that a call is given
    normed = [c.output for c in in_front(calls, query, until=at) if c.output is not None]
    joined = _joined(attention, [*query, *normed])
    if not text and not same(final, inner):
        text, parts = behind_a_gate(module, calls, inner, final, residuals, norms)
    if not text and joined and (activation := activated(inner, final)):
        text, parts = f"{activation} after it", (activation,)
    plain = joined or final.shape != inner.shape or (not before and same(final, inner))
    layer = None if plain else formula(attention.path)
    layer = None if str(layer) == ALONE else layer
    unexplained = layer is not None and not is_usual(layer)
    stated = shows(before) or any(part != "residual" for part in parts)
    if pooled := final.shape != inner.shape:
        stated = _is_within_attention(module, attention.path)
        if inner.size(1) and same(final, inner[:, 0]):  # the row of the first token
            return None
    if not text and _is_mapped_again(attention, inner, final, calls[at + 1 :]):
        text, parts, stated = "the linear layer after it", ("linear layer after the attention",), True
    if not text and not same(final, inner):
        after = [c for c in calls[at + 1 :] if is_linear(c.part) and not c.path.startswith(f"{attention.path}.")]
        shown = any(is_norm(c.part) for c in calls) or _is_called_attention(attention)
        summed = any(same(c.given[0], inner + x) for c in norms for x in residuals if c.given[0].shape == x.shape)
        block = shown and (len(after) >= 2 or summed)
        if layer is None and not block and not (last and before):
            return None
        unexplained = layer is None or unexplained
        text = "what comes after the attention, in no usual form" if unexplained else _REST
        stated = True
        parts = ("block around the attention",)
    if joined:
        text = "the query that is joined with the heads before the out projection" + (f", {text}" if text else "")
        parts, stated = ("query joined with the heads", *parts), True
    if before:
        kinds = kinds_of(before)
        text = f"{' and '.join(kinds)} before the attention" + (f", {text}" if text else "")
        parts = (*kinds, *parts)
    if not text:
        return None
    frozen = only_after(module, inner, final)
    paths = tuple(dict.fromkeys(c.path for c in before))
    return Surroundings(
        attention.path, paths, frozen, f"left out: {text}", tuple(dict.fromkeys(parts)), stated, attention.tokens,
        joined, drops_after(module, calls, at, attention), pooled=pooled, unexplained=unexplained, layer=layer,
    )  # fmt: skip


def _is_mapped_again(attention: PartCall, inner: Tensor, final: Tensor, after: Sequence[PartCall]) -> bool:
    """Whether torch's own module, which has an out projection, is followed by a linear layer whose output is the module's."""
    return isinstance(attention.part, nn.MultiheadAttention) and any(
        is_linear(c.part) and c.given and c.output is not None and same(c.given[0], inner) and same(c.output, final)
        for c in after
    )


def _joined(attention: PartCall, queries: Sequence[Tensor]) -> Joined:
    """Return whether an out projection is given the query, or a norm of it, next to the heads, and which of both is first."""
    if not isinstance(attention.part, nn.Linear) or len(attention.given) != 1:
        return ""
    given, width = attention.given[0], attention.part.out_features
    if given.dim() != 3 or given.size(-1) <= width:
        return ""
    if any(same(given[..., :width], x) for x in queries):
        return "query first"
    return "heads first" if any(same(given[..., -width:], x) for x in queries) else ""
