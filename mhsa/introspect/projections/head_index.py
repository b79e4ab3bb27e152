"""Parameters that every head has one of: ``heads.0.key.weight`` and its like are one entry, ``heads.#.key.weight``."""

from __future__ import annotations


def with_head_index(path: str) -> list[str]:
    """Return the path with each of its numbers, one at a time, replaced by ``#``."""
    parts = path.split(".")
    return [".".join([*parts[:i], "#", *parts[i + 1 :]]) for i, part in enumerate(parts) if part.isdigit()]


def natural(path: str) -> list[tuple[int, str]]:
    """Return a key that sorts paths with their numbers as numbers: ``heads.2`` is before ``heads.10``."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in path.split(".")]
