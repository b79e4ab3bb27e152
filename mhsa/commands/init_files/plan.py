"""What ``mhsa init`` is going to write: decided before anything is written, then shown or carried out."""

from __future__ import annotations

import contextlib
import os
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from mhsa.records.errors import UsageError


@dataclass(frozen=True)
class Piece:
    """A new file, or what is added at the end of one that exists, byte for byte as it is."""

    path: Path
    text: str
    added: bool = False


@dataclass
class InitPlan:
    """Pieces to write, what is kept, and what is to be added by hand.

    Nothing that exists is ever changed. What was done is printed at the end, so that a closed pipe leaves nothing half done.
    """

    pieces: list[Piece] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)
    by_hand: list[tuple[str, str]] = field(default_factory=list)
    done: list[str] = field(default_factory=list)

    def write(self, path: Path, text: str, sign: str = "", where: str = "", snippet: str = "") -> None:
        """Plan a new file; to one that is there without ``sign`` in it, ``snippet`` (the text) is to be added by hand."""
        if not (path.exists() or path.is_symlink()):
            self.pieces.append(Piece(path, text))
            return
        self.keep(f"{path}: it exists", "" if mentions(path, sign) else snippet or text, where or f"in {path}")

    def add(self, path: Path, text: str) -> None:
        """Plan an addition to a file, or the whole of it where there is none."""
        self.pieces.append(Piece(path, text, added=path.exists()))

    def keep(self, words: str, snippet: str = "", where: str = "") -> None:
        """Note that something is kept, and what is to be added by hand, if anything."""
        self.kept.append(words)
        if snippet:
            self.by_hand.append((where, snippet))

    def writes(self, path: Path) -> bool:
        """Whether a file is among those to be written."""
        return any(piece.path == path for piece in self.pieces)

    def require_folders(self) -> None:
        """Raise a UsageError if a file stands in the place of a folder that is needed."""
        for piece in self.pieces:
            for folder in piece.path.parents:
                if (folder.exists() or folder.is_symlink()) and not folder.is_dir():
                    raise UsageError(f"{piece.path} cannot be written: {folder} is not a folder; nothing was written")

    def carry_out(self) -> None:
        """Write all of it; raise a UsageError at the first file that cannot be written."""
        for piece in self.pieces:
            with self._refusing(piece.path):
                piece.path.parent.mkdir(parents=True, exist_ok=True)
                with piece.path.open("ab" if piece.added else "xb") as file:  # "x": nothing is ever overwritten
                    file.write(piece.text.encode())
            self.done.append(str(piece.path))

    @contextlib.contextmanager
    def _refusing(self, path: Path) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            before = f"written before: {', '.join(self.done)}" if self.done else "nothing was written"
            place = "" if error.filename in (None, str(path)) else f": {error.filename}"
            reason = error.strerror or os.strerror(error.errno or 0)
            raise UsageError(f"{path} cannot be written: {reason}{place}; {before}") from error

    def show(self) -> None:
        """Print every piece in full, as it would be written."""
        for piece in self.pieces:
            print(f"would {'add to' if piece.added else 'write'} {piece.path}:\n")
            text = piece.text.replace("\r\n", "\n").strip("\n") or "(an empty file)"
            print(textwrap.indent(text, "    "), end="\n\n")
        self._print_rest()
        print("nothing was written, as --dry-run was given")

    def print_done(self) -> None:
        """Print what was written, what was kept, and what is to be added by hand."""
        for piece in self.pieces:
            print(f"{'added to' if piece.added else 'wrote'} {piece.path}")
        self._print_rest()

    def _print_rest(self) -> None:
        for words in self.kept:
            print(f"kept {words}")
        if not self.pieces and not self.by_hand:
            print("nothing was needed: everything is there already")
        for where, snippet in self.by_hand:
            print(f"\nto be added by hand, {where}:\n\n{snippet.rstrip()}")


def mentions(path: Path, words: str) -> bool:
    """Whether a file is there and has the words in it."""
    return path.is_file() and words in path.read_text(encoding="utf-8", errors="replace")
