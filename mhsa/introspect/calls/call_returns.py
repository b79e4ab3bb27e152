"""Whether a call can be made at all: what a subject takes is found by trying, and what raises is not taken."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

import torch


def returns(call: Callable[[], object]) -> bool:
    """Whether ``call`` returns, without gradients; whatever it raises says that it is not taken so."""
    with torch.no_grad(), contextlib.suppress(Exception):
        call()
        return True
    return False
