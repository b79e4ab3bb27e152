"""An unusable CUDA context: after an assertion in a kernel, or an access out of bounds, every other use of the GPU fails, too.

Such errors come late, with some call after the one that made them. So every call of a subject waits for the GPU. An error there
ends the property and, once that is reported, the process; the other properties are judged in a new one.
"""

from __future__ import annotations

import sys

EXIT_CODE = 77  # of a process whose CUDA context is unusable; pytest and Python use smaller ones, signals larger ones
MESSAGE = "the CUDA context is unusable after an earlier error"


def wait() -> None:
    """Wait until the GPU has finished, if one is in use.

    Raises:
        RuntimeError: the GPU cannot be used any more.
    """
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        torch.cuda.synchronize()


def context_is_unusable() -> bool:
    """Whether a GPU was in use and its CUDA context is unusable."""
    try:
        wait()
    except Exception:
        return True
    return False
