"""The files that ``mhsa init`` writes lie next to the code, with @NAMES@ for what differs from repository to repository."""

from __future__ import annotations

from pathlib import Path


def template(name: str, **values: str) -> str:
    """Return a template with its names replaced; a value for a whole line ends with its own line end, or is empty."""
    text = (Path(__file__).parent / "templates" / f"{name}.txt").read_text(encoding="utf-8")
    for key, value in values.items():
        whole = f"@{key}@\n"
        text = text.replace(whole, value) if value.endswith("\n") or not value else text.replace(f"@{key}@", value)
    return text
