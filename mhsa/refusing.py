"""Leaving with exit code 2: what was asked for cannot be done."""

from __future__ import annotations

import sys
from typing import NoReturn


def refuse(message: str) -> NoReturn:
    """Leave with exit code 2 and one message."""
    print(f"mhsa: {message}", file=sys.stderr)
    raise SystemExit(2)
