"""A GPU that is lost: after an assertion in a kernel, or an access out of bounds, CUDA refuses everything else in that process.

Such errors come late, with some call after the one that made them. So every call of a subject waits for the GPU, and what ends
one there ends the property, once it is reported the process, and the others are judged in a new one.
"""

from __future__ import annotations

import sys

EXIT = 77  # of a process whose GPU is lost; pytest and Python use smaller ones, signals larger ones
WORDS = "the CUDA context is unusable after an earlier error"


def wait() -> None:
    """Wait until the GPU has done what it was asked for, if one is in use.

    Raises:
        RuntimeError: it could not.
    """
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        torch.cuda.synchronize()


def is_lost() -> bool:
    """Whether a GPU was in use and its CUDA context is unusable."""
    try:
        wait()
    except Exception:
        return True
    return False
