"""Projections within a head: a Linear(d_k, d_k) that every head uses, or one for each head, on its slice of the features.

Over all heads such a map is block-diagonal. It can be written with such matrices alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor, nn

from mhsa.introspect.projections.computed import Computed
from mhsa.introspect.projections.head_index import with_head_index
from mhsa.introspect.projections.role_names import QKV, named_roles
from mhsa.subject.parameter_layout import Sizes


def within_heads(module: nn.Module, sizes: Sizes) -> Iterator[tuple[str, Computed]]:
    """Yield the query, key and value maps [d_model, d_model] (biases [d_model]) made of blocks [d_k, d_k] (or [d_k])."""
    if sizes.head == 1:
        return  # the block is the whole
    parameters = dict(module.named_parameters(remove_duplicate=False))
    blocks = [path for path, p in parameters.items() if tuple(p.shape) == (sizes.d_k, sizes.d_k)]
    for path in blocks:
        if len(named_roles(path)) != 1 or named_roles(path)[0] not in QKV:
            continue
        pattern = next((x for x in with_head_index(path) if _members(x, blocks) == sizes.head), path)
        bias = path.removesuffix(".weight") + ".bias"
        for kind in (path, *([bias] if path.endswith(".weight") and bias in parameters else [])):
            shown = kind if pattern == path else with_head_index(kind)[with_head_index(path).index(pattern)]
            paths = [kind] if pattern == path else [p for p in parameters if shown in with_head_index(p)]
            yield shown, _joined([parameters[p] for p in paths], paths, sizes.head)


def _members(pattern: str, paths: Sequence[str]) -> int:
    return sum(pattern in with_head_index(path) for path in paths)


def _joined(parts: list[nn.Parameter], paths: list[str], head: int) -> Computed:
    shared = len(parts) == 1
    whole = parts * head if shared else parts

    def make() -> Tensor:
        if parts[0].dim() == 1:
            return torch.cat(list(whole))
        matrix: Tensor = torch.block_diag(*whole)  # type: ignore[no-untyped-call]
        return matrix

    why = "the heads share one projection of a head's own features" if shared else "each head projects its own features alone"
    return Computed(make, tuple(paths), why, _putting(whole, make))


def _putting(whole: Sequence[nn.Parameter], make: Callable[[], Tensor]) -> Callable[[Tensor], bool]:
    def put(values: Tensor) -> bool:
        before = [p.detach().clone() for p in whole]
        width = len(whole[0])
        with torch.no_grad():
            for h, parameter in enumerate(whole):
                at = slice(h * width, (h + 1) * width)
                parameter.copy_(values[at, at] if parameter.dim() == 2 else values[at])
            if torch.equal(make(), values.to(make())):
                return True
            for parameter, numbers in zip(whole, before, strict=True):
                parameter.copy_(numbers)
        return False

    return put
