"""What known bugs computed, in a file of the user's cache: the next run need not compute it again.

The numbers are a function of the bug, the case and the parameters, and of the code that computes them. So a file belongs to one
state of mhsa's sources, of torch, numpy and the processor; another state has another file. The file can be deleted at any time,
and without one (no home, no room, another process writes) everything is computed as before.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import os
import platform
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

import mhsa
from mhsa.bugs.diagnosis.quantity import Quantity
from mhsa.oracle.bounded import Array
from mhsa.subject.torch_settings import settings

if TYPE_CHECKING:
    import sqlite3

CACHE = "MHSA_CACHE"  # the folder; empty: nothing is kept
_LARGEST = 128 * 2**20  # bytes of a file: one formula takes 4 to 10 MB, and mhsa's own tests have all formulas
_FILES = 2  # of so many states: those between which somebody changes to and fro
_PATIENCE = 0.5  # seconds that a process waits while another one writes
_OWNERS = (torch, torch.Tensor, torch.nn.Module, torch.nn.Linear, torch.nn.functional, np)  # of what known bugs call


def _functions() -> dict[tuple[str, str], Any]:
    return {(owner.__name__, name): value for owner in _OWNERS for name, value in vars(owner).items() if callable(value)}


_FUNCTIONS, _SETTINGS = _functions(), settings()  # in a process that compares, before a subject is imported


def _is_as_before() -> bool:
    """Whether known bugs are computed as by torch itself; what its compiler replaces when it is first used is of torch, too."""
    now = _functions()
    changed = [now.get(key) for key, value in _FUNCTIONS.items() if now.get(key) is not value]
    return settings() == _SETTINGS and all(getattr(new, "__module__", "").partition(".")[0] == "torch" for new in changed)


def _none() -> Array:
    raise AssertionError("the subject's tolerances are used, and not those of a known bug")


def without_tolerance(quantity: Quantity) -> Quantity:
    """Return the numbers alone: a quantity's own tolerance would keep the module and all its tensors."""
    return Quantity(quantity.name, quantity.numbers, _none, quantity.relative_to)


class AnswersOnDisk:
    """Quantities by key in one SQLite file, which several processes may read and write.

    Args:
        file: need not exist; its folder neither.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._new: dict[bytes, bytes] = {}

    def read(self, key: bytes) -> tuple[list[Quantity], bool]:
        """Return the quantities that are known, in order, and whether they are all; none where nothing is known."""
        with contextlib.suppress(Exception):  # whatever is wrong with the file, the numbers can be computed
            row = _reader(self._file, os.getpid()).execute("SELECT value FROM answers WHERE key = ?", (key,)).fetchone()
            if row is not None:
                return _unpacked(row[0])
        return [], False

    def keep(self, key: bytes, known: Sequence[Quantity], whole: bool) -> None:
        """Have :meth:`write` write these, in place of those that are known of the key."""
        self._new[key] = _packed(known, whole)

    def write(self) -> None:
        """Write what :meth:`keep` was given; where the file cannot be written, or is full, forget it.

        It is forgotten, too, where a subject has replaced a function of torch or changed a setting: the numbers may be wrong.
        """
        new, self._new = self._new, {}
        if not new or not _is_as_before():
            return
        with contextlib.suppress(Exception):
            import sqlite3

            first = not self._file.exists()
            self._file.parent.mkdir(parents=True, exist_ok=True)
            if not first and self._file.stat().st_size > _LARGEST:
                return
            with contextlib.closing(sqlite3.connect(self._file, timeout=_PATIENCE)) as connection, connection:
                connection.execute("PRAGMA synchronous = OFF")  # after a power cut, the file may be deleted
                connection.execute("CREATE TABLE IF NOT EXISTS answers (key BLOB PRIMARY KEY, value BLOB) WITHOUT ROWID")
                connection.executemany("INSERT OR REPLACE INTO answers VALUES (?, ?)", new.items())
            if first:
                _forget_others(self._file)


@functools.lru_cache(maxsize=1)
def _reader(file: Path, process: int) -> sqlite3.Connection:
    """Return the connection of this process: a forked one must not use another's."""
    import sqlite3

    return sqlite3.connect(f"file:{file}?mode=ro", uri=True, timeout=_PATIENCE, check_same_thread=False)


def _forget_others(file: Path) -> None:
    others = sorted(file.parent.glob("answers-*.sqlite"), key=lambda other: other.stat().st_mtime, reverse=True)
    for other in others[_FILES:]:
        other.unlink()


def _packed(known: Sequence[Quantity], whole: bool) -> bytes:
    parts = [[q.name, q.numbers.dtype.str, q.numbers.shape, q.relative_to] for q in known]
    header = json.dumps([whole, parts]).encode()
    return b"".join([len(header).to_bytes(4, "little"), header, *(q.numbers.tobytes() for q in known)])


def _unpacked(value: bytes) -> tuple[list[Quantity], bool]:
    start = 4 + int.from_bytes(value[:4], "little")
    whole, parts = json.loads(value[4:start])

    def quantities() -> Iterator[Quantity]:
        at = start
        for name, dtype, shape, relative_to in parts:
            numbers = np.frombuffer(value, dtype, int(np.prod(shape, dtype=int)), at).reshape(shape)
            at += numbers.nbytes
            yield Quantity(name, numbers, _none, relative_to)

    return list(quantities()), bool(whole)


@functools.cache
def on_disk() -> AnswersOnDisk | None:
    """Return the store of this state of mhsa; None where the variable ``MHSA_CACHE`` is empty, or there is no home."""
    named = os.environ.get(CACHE)
    if named == "":
        return None
    try:
        folder = _usual_folder() if named is None else Path(named)
        return AnswersOnDisk(folder / f"answers-{_state()}.sqlite")
    except (OSError, RuntimeError):  # RuntimeError: pathlib knows no home
        return None


def _usual_folder() -> Path:
    named = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(named) if named else Path.home() / ".cache") / "mhsa"


def _state() -> str:
    """Return a digest of everything but the case and the bug that the numbers depend on."""
    digest = hashlib.blake2b(digest_size=8)
    machine = (torch.__version__, np.__version__, platform.machine(), torch.backends.cpu.get_cpu_capability())
    digest.update(repr(machine).encode())
    package = Path(mhsa.__file__).parent
    for file in sorted(package.rglob("*.py")):
        digest.update(str(file.relative_to(package)).encode() + file.read_bytes())
    return digest.hexdigest()
