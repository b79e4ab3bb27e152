"""Whether the source of a module speaks of heads."""

from __future__ import annotations

from torch import nn

from mhsa.source.written_code import source_of


def speaks_of_heads(module: nn.Module) -> bool:
    """Whether the source of a module, its bases or its parts has the word; what has not has one head, right or wrong."""
    owners = {owner: None for part in module.modules() for owner in type(part).__mro__}
    own = [owner for owner in owners if owner.__module__.partition(".")[0] not in ("torch", "builtins")]
    try:
        return not own or any("head" in source_of(owner).lower() for owner in own)
    except (OSError, TypeError):
        return True
