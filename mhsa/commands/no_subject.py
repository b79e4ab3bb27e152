"""The message where no subject is named and none is configured: what to name, or how to configure one."""

from __future__ import annotations

from mhsa.records.configuration import Configuration
from mhsa.source.find_subject import candidates

_SHOWN = 3  # candidates that are worth a place in one line


def nothing_named(configuration: Configuration, command: str = "mhsa verify") -> str:
    """Return the message: why there is no subject, and the commands that name one."""
    if configuration.path is None:
        why = "no subject is named, and no pyproject.toml here or above has [tool.mhsa.subjects]"
    else:
        why = f"no subject is named, and {configuration.path} configures none in [tool.mhsa.subjects]"
    found = candidates(_SHOWN)
    if found:
        listed = " or ".join(f"`{command} {name}`" for name in found)
        how = f"name one, perhaps {listed}"
    else:
        how = f"name one: `{command} path/file.py` or `{command} package.module:Attention`"
    return f"{why}, so there is nothing to judge; {how}, or configure it: `mhsa init`"
