"""torch's own settings, which a subject may change and must not: read, compared and put back."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch

_DUPLICATES = "KMP_DUPLICATE_LIB_OK"
_LIMITS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")  # whoever sets one of them has decided
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


@contextmanager
def on_one_thread() -> Iterator[None]:
    """Let torch and numpy use one thread, and put the numbers back: cases are small, so threads only wait for each other.

    The processes of ``mhsa verify`` are limited by their environment; this is for pytest sessions of the user's own.
    """
    if any(name in os.environ for name in _LIMITS):
        yield
        return
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with _libraries().limit(limits=1, user_api="blas"):  # torch's setting does not reach numpy's matrix products
            yield
    finally:
        torch.set_num_threads(before)


@functools.cache  # it looks through all libraries that are loaded, and numpy's and torch's are
def _libraries() -> Any:
    before = os.environ.get(_DUPLICATES)
    from threadpoolctl import ThreadpoolController

    if before is None:  # which that import sets, and a user's session shall keep its variables
        os.environ.pop(_DUPLICATES, None)
    return ThreadpoolController()
