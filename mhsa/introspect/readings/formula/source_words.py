"""Whether the source of a module's class has words that speak of a feature."""

from __future__ import annotations

import re
from typing import Any

from mhsa.source.written_code import source_of
from mhsa.subject.adapters.adapter import Adapter
from mhsa.subject.adapters.module_adapter import ModuleAdapter


def source_speaks_of(adapter: Adapter, words: re.Pattern[str]) -> bool:
    """Return whether ``words`` stand in the source of the module's class; not where there is no module, or no source."""
    if not isinstance(adapter, ModuleAdapter):
        return False
    owner: Any = adapter.owner
    try:
        return words.search(source_of(owner)) is not None
    except (TypeError, OSError):
        return False
