"""torch's own settings, which a subject may change and must not: read, compared and put back."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch

_WAYS: dict[str, tuple[Callable[[], Any], Callable[[Any], Any]]] = {
    "the default dtype": (torch.get_default_dtype, torch.set_default_dtype),
    "the number of threads": (torch.get_num_threads, torch.set_num_threads),
    "deterministic algorithms": (torch.are_deterministic_algorithms_enabled, torch.use_deterministic_algorithms),
    "the precision of matrix products": (torch.get_float32_matmul_precision, torch.set_float32_matmul_precision),
    "anomaly detection": (torch.is_anomaly_enabled, torch.autograd.set_detect_anomaly),
    "the gradient mode": (torch.is_grad_enabled, torch.set_grad_enabled),
}


def settings() -> dict[str, Any]:
    """Return every setting under the name that a violation calls it by."""
    return {name: read() for name, (read, _) in _WAYS.items()}


def restore(before: dict[str, Any]) -> None:
    """Put settings back that were :func:`settings` before; others in the dictionary are left alone."""
    for name, (read, write) in _WAYS.items():
        if read() != before[name]:  # some of these take a second to be written for the first time
            write(before[name])


@contextmanager
def restored() -> Iterator[None]:
    """Put all settings back at the end, so that what one subject changes does not reach the next property or subject."""
    before = settings()
    try:
        yield
    finally:
        restore(before)
