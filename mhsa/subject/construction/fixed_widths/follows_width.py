"""Whether a module that cannot be called yet, as it is given tables by its caller, has the width that it is built with."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence

from torch.nn.parameter import is_lazy

from mhsa.subject.construction.constructor_call import ConstructorCall


def follows_width(call: ConstructorCall, several: Sequence[tuple[int, int]]) -> bool:
    """Whether maps have the width where it is built in each of several sizes (head, d_model), which differ in both."""
    axes = set()
    with contextlib.suppress(Exception):
        for head, d_model in several:
            sized = [p for p in call.build(head, d_model).parameters() if not is_lazy(p)]
            axes.add(tuple((n, i) for n, p in enumerate(sized) if p.dim() > 1 for i, x in enumerate(p.shape) if x == d_model))
        return len(axes) == 1 and () not in axes
    return False
