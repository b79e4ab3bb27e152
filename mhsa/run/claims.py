"""Which of several processes judges which property: each takes the next that no other has taken.

A file in a folder stands for a property that is taken, since only one process can create it. So a process that has slow
properties, or shares its core with other work, judges fewer.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path


class Claims:
    """The claims of the processes that share a folder.

    Args:
        folder: of their files; it is made where it is not there, as a subject may have removed it.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def take(self, number: int, identity: str) -> bool:
        """Take a property of the subject with this number, from 1; return whether no other process has it."""
        self.folder.mkdir(parents=True, exist_ok=True)
        try:
            os.close(os.open(self.folder / f"{number} {identity}", os.O_CREAT | os.O_EXCL | os.O_WRONLY))
        except FileExistsError:
            return False
        return True

    def take_all(self, number: int, identities: Iterable[str]) -> None:
        """Take all of these that are left, so that no process judges them."""
        for identity in identities:
            self.take(number, identity)
