"""What a call returns besides the output and the weights that are judged: named as not judged, so that no verdict hides it.

Weights are kept and returned in several forms that are right: averaged over heads, heads and samples joined in one axis, the
axes in another order. Which axis is which shows only in sizes that all differ, so the call made here has such sizes. One thing
is checked of weights whose four axes are known: over the keys they sum to one, as they do in whatever order they come.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from mhsa.records.names import WEIGHTS_ATTRIBUTE
from mhsa.subject.adapters.several_calls import EachQueryAlone, makes_several_calls
from mhsa.subject.caller import Caller
from mhsa.subject.filled.filled_module import batch_norms
from mhsa.subject.generic_inputs import generic_tensors
from mhsa.subject.parameter_layout import Sizes
from mhsa.subject.returned import listed

# Weights kept in bfloat16 are rounded by 2^-9 each, and the sum of the few here by little more; scores sum to anything.
_OFF = 2.0**-5
_SAME = 2.0**-26  # half the digits of float64
_FORMS = (("B", "H", "Tq", "Tk"), ("B", "Tq", "Tk"), ("B*H", "Tq", "Tk"), ("H", "Tq", "Tk"))
_OF_A_PART = "[B, Tq, Tk]"


@dataclass(frozen=True)
class Unread:
    """Something that is given and not judged.

    Attributes:
        words: what it is.
        wrong: what is wrong with it, where it can only be weights and is not; or empty.
        part: which of the values returned has the weights of a part of the heads, [B, Tq, Tk]; None where it has not.
    """

    words: str
    wrong: str = ""
    part: int | None = None


def batch_norms_in_words(module: nn.Module) -> list[str]:
    """Return the kinds of layers that normalise over the batch: in train mode, where they do, they are held in eval mode."""
    return [
        f"{kind} in train mode, where it depends on the batch"
        for kind in sorted({type(n).__name__ for n in batch_norms(module)})
    ]


def find_unread(caller: Caller, module: nn.Module, sizes: Sizes) -> list[Unread]:
    """Return what one call of ``module`` (float64, eval) returns or keeps, besides what ``caller`` takes from it."""
    query, key, value = generic_tensors(caller.adapter)
    batch = query.size(0)
    axes = {"B": batch, "H": sizes.head, "Tq": query.size(1), "Tk": key.size(1), "B*H": batch * sizes.head}
    before = {path: id(x) for path, x in _kept(module)}
    values: list[int] = []
    counting = module.register_forward_hook(lambda _, given, gave: values.append(len(listed(gave))))
    try:
        with torch.no_grad():
            items = caller.items(module, query, key, value, None)
    except Exception:  # the properties will raise it again and report it
        return []
    finally:
        counting.remove()
    if not (caller.output_from < len(items) and _is_tensor(items[caller.output_from], query.shape)):
        return []
    known = [items[caller.output_from]]
    if isinstance(caller.weights_from, int) and caller.weights_from < len(items):
        known.append(items[caller.weights_from])
    if caller.lse_from is not None and caller.lse_from < len(items):
        known.append(items[caller.lse_from])
    if isinstance(caller.weights_from, str):
        known.append(getattr(module, caller.weights_from, None))
    found = []
    if values and values[0] > 1 and makes_several_calls(caller.adapter, EachQueryAlone):
        found.append(Unread(f"{values[0] - 1} of {values[0]} values returned"))
    weights = known[1] if isinstance(caller.weights_from, int) and len(known) > 1 else None
    for n, item in enumerate(items):
        if _holds_tensors(item) and not _is_among(item, known):
            known.append(item)  # kept as well, it is named once
            if _are_scores(item, weights, sizes):
                found.append(Unread("scores returned: shape [B, H, Tq, Tk]"))
                continue
            told = _told(item, axes, "weights returned", f"value {n + 1} of {len(items)} returned")
            found.append(replace(told, part=n) if told.words == f"weights returned: shape {_OF_A_PART}" else told)
    for path, x in _kept(module):
        if before.get(path) != id(x) and not _is_among(x, known):
            known.append(x)
            found.append(_told(x, axes, f"weights in {path}", f"weights in {path}"))
    return found


def _are_scores(x: Any, weights: Any, sizes: Sizes) -> bool:
    """Whether these are what the weights are the softmax of, with the scale or before it."""
    if not isinstance(x, Tensor) or not isinstance(weights, Tensor) or x.shape != weights.shape or not x.is_floating_point():
        return False
    return any(bool(((x * scale).softmax(-1) - weights).abs().max() <= _SAME) for scale in (1.0, sizes.d_k**-0.5))


def _kept(module: nn.Module) -> list[tuple[str, Tensor]]:
    """Return the tensors under the usual names, of the module and its parts, that are neither parameters nor buffers."""
    owners = [(f"{name}." if name else "", vars(part)) for name, part in module.named_modules()]
    return [(at + n, held[n]) for at, held in owners for n in WEIGHTS_ATTRIBUTE if isinstance(held.get(n), Tensor)]


def _is_tensor(x: Any, shape: Sequence[int]) -> bool:
    return isinstance(x, Tensor) and tuple(x.shape) == tuple(shape)


def _holds_tensors(x: Any) -> bool:
    if isinstance(x, Mapping):
        x = list(x.values())
    return isinstance(x, Tensor) or (isinstance(x, (tuple, list)) and any(_holds_tensors(part) for part in x))


def _is_among(x: Any, known: Sequence[Any]) -> bool:
    """Whether something is one of these, or a tensor of the same numbers."""
    tensors = (other for other in known if isinstance(other, Tensor) and isinstance(x, Tensor))
    return any(x is other for other in known) or any(x.dtype == other.dtype and torch.equal(x, other) for other in tensors)


def _told(x: Any, axes: Mapping[str, int], weights: str, otherwise: str) -> Unread:
    if not isinstance(x, Tensor):
        return Unread(f"{otherwise}: a {type(x).__name__}")
    labels = _labels(x.shape, axes) if x.is_floating_point() else None
    if labels is None:
        given = ", ".join(f"{name}={axes[name]}" for name in ("B", "H", "Tq", "Tk"))
        return Unread(f"{otherwise}: shape {list(x.shape)} for {given}")
    found = Unread(f"{weights}: shape [{', '.join(labels)}]")
    if len(labels) < 4:  # a mean or a sum over heads, or those of one head: nothing is promised of them
        return found
    # Where there are as many keys as queries, either axis may be that of the keys.
    over = [labels.index("Tk"), *([labels.index("Tq")] if axes["Tq"] == axes["Tk"] else [])]
    sums = [x.double().sum(axis) for axis in over]
    if any(bool(((total - 1.0).abs() <= _OFF).all()) for total in sums):
        return found
    low, high = float(sums[0].min()), float(sums[0].max())
    return replace(found, wrong=f"{found.words}; over the keys they sum to {low:.3g} at least and {high:.3g} at most, not to 1")


def _labels(shape: Sequence[int], axes: Mapping[str, int]) -> tuple[str, ...] | None:
    """Return the axes' names, the usual order first; None where the sizes are those of no weights."""
    for form in _FORMS:
        for labels in itertools.permutations(form):
            if [axes[label] for label in labels] == list(shape):
                return labels
    return None
