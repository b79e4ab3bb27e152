"""A module that is as it was before a call that raised: what such a call has left shall decide nothing of what follows."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn

_REGISTERED = ("_parameters", "_buffers", "_modules")


@contextmanager
def as_before(module: nn.Module) -> Iterator[None]:
    """Have each part of a module keep the attributes that it has now, if what is done with it raises.

    Which tensors and objects it has is restored, and not what is in them.
    """
    before = [(part, {n: dict(x) if n in _REGISTERED else x for n, x in vars(part).items()}) for part in module.modules()]
    try:
        yield
    except BaseException:
        for part, attributes in before:
            held = vars(part)
            held.clear()
            held.update(attributes)
        raise
