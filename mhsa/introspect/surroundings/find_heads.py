"""Finds heads to which the queries are added before any out projection, in a block that goes on with a norm or a map.

Blocks of the Set Transformer do so: s = norm(queries + heads), and s + fc(s) after that. A sum alone is no such block, and
neither is one that a single map follows without a residual around it: that may be a residual in the wrong place.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import nn

from mhsa.introspect.surroundings.find_surroundings import is_norm, only_after
from mhsa.introspect.surroundings.gates import gated
from mhsa.introspect.surroundings.heads_alone import NORMS, HeadsAlone
from mhsa.introspect.surroundings.inner_attention import Surroundings
from mhsa.introspect.surroundings.watched_call import in_shape_of, same, watch

AFTER = "what comes after it"
GATE = "the learned number"


def find_heads(module: nn.Module, call: Callable[[], Any]) -> Surroundings | None:
    """Return what is around the heads of ``module`` (float64, eval, generic parameters); None where it is no such block."""
    with HeadsAlone(leave_out=False) as followed:
        calls, _ = watch(module, call)
    whole = next((c for c in calls if c.path == ""), None)
    merged = followed.merged
    if merged is None or whole is None or whole.output is None:
        return None
    tokens = whole.output.dim() > 3 and merged.shape == whole.output.flatten(2).transpose(1, 2).shape
    if in_shape_of(merged, whole.output, tokens=tokens).shape != whole.output.shape:
        return None
    norms = [c for c in calls if c.path and is_norm(c.part) and c.given]
    normed = followed.next in NORMS or any(same(c.given[0], merged) for c in norms)
    if not followed.gate and not followed.around_a_map and not (normed and followed.maps_after != 1):
        return None
    before = tuple(dict.fromkeys(c.path for c in norms if any(same(c.given[0], x) for x in whole.given)))
    residual = f"the residual of the {followed.residual}"
    text = f"{residual}, which is added to the heads before any out projection, and {AFTER}"
    if followed.gate:
        residual = f"{GATE}, {residual}"
        text = f"{GATE} that multiplies the heads, {text}"
    drops = any(isinstance(part, nn.modules.dropout._DropoutNd) for part in module.modules())
    return Surroundings(
        "", before, only_after(module, merged, whole.output), f"left out: {text}", (residual, AFTER), True, tokens,
        drops_after=drops and not followed.drops, residual=followed.residual, gate="number" if followed.gate else "",
    )  # fmt: skip


def find_gated_heads(module: nn.Module, call: Callable[[], Any]) -> Surroundings | None:
    """Return what is around heads that a gate follows on, without any out projection; None where no gate explains all."""
    with HeadsAlone(leave_out=False, known="any") as followed:
        calls, _ = watch(module, call)
    whole = next((c for c in calls if c.path == ""), None)
    merged = followed.merged
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
