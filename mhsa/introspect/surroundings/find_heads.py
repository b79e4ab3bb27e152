"""Finds heads that are normalised, or to which the queries are added, without an out projection: the rest is left out.

Blocks of the Set Transformer do so: s = norm(queries + heads), and s + fc(s) after that. A sum alone is shown by trying. One
map that follows without a residual around it is no such block: that may be a residual in the wrong place.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from torch import Tensor, nn

from mhsa.introspect.layers.same import same
from mhsa.introspect.projections.search.layers import is_norm
from mhsa.introspect.surroundings.find_surroundings import POOLING
from mhsa.introspect.surroundings.gates import gated
from mhsa.introspect.surroundings.heads_alone import After, HeadsAlone
from mhsa.introspect.surroundings.in_front import in_front, kinds_of, shows
from mhsa.introspect.surroundings.inner_attention import Surroundings
from mhsa.introspect.surroundings.operations import LAYERS, NORMS, PRODUCTS
from mhsa.introspect.surroundings.parts_after import only_after
from mhsa.introspect.surroundings.uneven import require_even
from mhsa.introspect.surroundings.watched_call import PartCall, in_shape_of, watch

AFTER = "what comes after it"
GATE = "the learned number"


def find_heads(module: nn.Module, call: Callable[[], Any]) -> Surroundings | None:
    """Return what is around the heads of ``module`` (float64, eval, generic parameters); None where it is no such block."""
    first, _ = watch(module, call)
    whole = _whole(first)
    if whole is None:
        return None
    ahead = in_front(first, whole.given)
    before = tuple(dict.fromkeys(c.path for c in ahead))
    with _taken_out(module, before), HeadsAlone(leave_out=False) as followed:
        calls, _ = watch(module, call)
    norms = [c for c in calls if c.path and is_norm(c.part) and c.given]
    whole = _whole(calls)
    if whole is None or whole.output is None:
        return None
    found = _bare(followed, norms) or _with_residual(followed, norms, whole.output)
    if found is None and before and followed.is_heads(whole.output):
        found = whole.output, Surroundings("", (), (), "", (), False)
    if found is None and _is_pooled(followed, whole):
        assert followed.bare is not None
        found = followed.bare, Surroundings("", (), (), *POOLING, False, bare=True, pooled=True)
    if found is None:
        return None
    require_even(first, before)
    merged, around = found
    tokens = whole.output.dim() > 3 and merged.shape == whole.output.flatten(2).transpose(1, 2).shape
    if not around.pooled and in_shape_of(merged, whole.output, tokens=tokens).shape != whole.output.shape:
        return None
    drops = any(isinstance(part, nn.modules.dropout._DropoutNd) for part in module.modules())
    kinds = kinds_of(ahead)
    text = ", ".join(filter(None, [*(f"{kind} before the attention" for kind in kinds), around.text]))
    return replace(
        around, before=before, frozen=only_after(module, merged, whole.output), text=f"left out: {text}",
        parts=(*kinds, *around.parts), stated=around.stated or (shows(ahead) and not around.pooled), tokens=tokens,
        drops_after=drops and not (followed.drops_bare if around.bare else followed.drops),
    )  # fmt: skip


def find_gated_heads(module: nn.Module, call: Callable[[], Any]) -> Surroundings | None:
    """Return what is around heads that a gate follows on, without any out projection; None where no gate explains all."""
    with HeadsAlone(leave_out=False, known="any") as followed:
        calls, _ = watch(module, call)
    whole, merged = _whole(calls), followed.merged
    if merged is None or whole is None or whole.output is None:
        return None
    final = whole.output
    tokens = final.dim() > 3 and merged.shape == final.flatten(2).transpose(1, 2).shape
    inner = in_shape_of(merged, final, tokens=tokens)
    if inner.shape != final.shape:
        return None
    inputs = [x for x in whole.given if x.is_floating_point() and x.shape == final.shape]
    text, parts = gated(module, [c.with_pixels_of(final) for c in calls], inner, [final], inputs)
    if not text or not all(part.startswith("gate") or part == "residual" for part in parts):
        return None
    drops = any(isinstance(part, nn.modules.dropout._DropoutNd) for part in module.modules())
    return Surroundings(
        "", (), only_after(module, merged, final), f"left out: {text}", parts, True, tokens,
        drops_after=drops and not followed.drops, residual="queries", gate="any",
    )  # fmt: skip


def _whole(calls: Sequence[PartCall]) -> PartCall | None:
    whole = next((c for c in calls if c.path == ""), None)
    return None if whole is None or whole.output is None else whole


@contextlib.contextmanager
def _taken_out(module: nn.Module, paths: Sequence[str]) -> Iterator[None]:
    """Have nothing in the place of these parts meanwhile."""
    parts = {path: module.get_submodule(path) for path in paths}

    def put(path: str, part: nn.Module) -> None:
        owner, _, name = path.rpartition(".")
        setattr(module.get_submodule(owner), name, part)

    for path in parts:
        put(path, nn.Identity())
    try:
        yield
    finally:
        for path, part in parts.items():
            put(path, part)


def _is_pooled(followed: HeadsAlone, whole: PartCall) -> bool:
    """Whether the heads of each token are there and mapped no more, and the output has no tokens.

    That of the first token alone is another reading.
    """
    heads, final = followed.bare, whole.output
    if followed.next_to_bare in LAYERS | PRODUCTS:
        return False
    if heads is None or heads.dim() < 3 or final is None or final.dim() != 2:  # a query for each sample has no tokens to pool
        return False
    if not whole.given or heads.shape != whole.given[0].shape:
        return False
    return not (heads.size(1) and same(final, heads[:, 0]))


def _bare(followed: HeadsAlone, norms: Sequence[PartCall]) -> tuple[Tensor, Surroundings] | None:
    """Return the heads that a norm takes as they are, where no map alone comes after it."""
    heads = followed.bare
    if heads is None or not _is_whole(followed.after_bare) or not _normed(heads, followed.next_to_bare, norms):
        return None
    text = f"a norm of the heads, and {AFTER}"
    return heads, Surroundings("", (), (), text, ("the norm of the heads", AFTER), True, bare=True)


def _with_residual(followed: HeadsAlone, norms: Sequence[PartCall], output: Tensor) -> tuple[Tensor, Surroundings] | None:
    """Return the heads with the residual, where a norm or maps with a residual around them come after it, or nothing does."""
    if not followed.residual:
        return None
    residual = f"the residual of the {followed.residual}"
    text = f"{residual}, which is added to the heads before any out projection"
    if followed.gate:
        residual = f"{GATE}, {residual}"
        text = f"{GATE} that multiplies the heads, {text}"
    merged = followed.merged
    if merged is None:
        alone = Surroundings("", (), (), text, (residual,), False, residual=followed.residual)
        return (output, alone) if followed.is_sum(output) else None
    normed = _normed(merged, followed.next, norms)
    if not followed.gate and not followed.after.around_a_map and not (normed and followed.after.maps != 1):
        return None
    return merged, Surroundings(
        "", (), (), f"{text}, and {AFTER}", (residual, AFTER), True, residual=followed.residual,
        gate="number" if followed.gate else "",
    )  # fmt: skip


def _normed(heads: Tensor, taken_by: str, norms: Sequence[PartCall]) -> bool:
    return taken_by in NORMS or any(same(c.given[0], heads) for c in norms)


def _is_whole(after: After) -> bool:
    """Whether no map comes after the heads but those that a residual goes around."""
    return after.maps == 0 or after.around_a_map
