"""Commands that need torch say how to install it where it is missing."""

from __future__ import annotations

import importlib.util
import sys

from mhsa.records.errors import UsageError


def require_torch() -> None:
    """Raise a UsageError where the interpreter has no torch; it is not imported for that."""
    if importlib.util.find_spec("torch") is None:
        raise UsageError(
            f"torch is not installed for {sys.executable}, and nothing can be judged without it; install it there "
            "(pip install torch, or as https://pytorch.org/get-started says for your GPU), or run the mhsa of the environment "
            "that has it"
        )
