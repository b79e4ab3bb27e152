"""Modules that rotate queries and keys, which a constructor is given: classes of the file with such a name, built for one head.

A Llama-like attention may share one table of angles with all layers, and so takes the module that has it: ``rope``, ``rotary``.
"""

from __future__ import annotations

import inspect
import re
from dataclasses import dataclass
from typing import Any

from torch import nn

from mhsa.source.written_code import classes_of
from mhsa.subject.construction.argument_roles import LENGTH, role_of

_ROTATES = re.compile(r"rope|rotar|rotat", re.IGNORECASE)
_BASE = re.compile(r"(rope_?|rotary_?)?(base|theta)", re.IGNORECASE)
BASE = 10000.0  # of Su et al. 2021, RoFormer, and of nearly all since
_COLLECTED = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
_WIDTHS = ("d_model", "other width", "head width")


@dataclass(frozen=True)
class Rotation:
    """A class of the file that rotates: what it is built with, for each module anew.

    Attributes:
        kind: the class.
        width: its argument that is the width of a head, whatever it is called: nothing else is rotated.
        lengths: arguments that are numbers of positions.
        bases: arguments that must be given the base of the angles.
    """

    kind: type[nn.Module]
    width: str
    lengths: tuple[str, ...] = ()
    bases: tuple[str, ...] = ()
    off: tuple[str, ...] = ()

    def __call__(self, d_k: int) -> Any:
        """Build one for heads of this width."""
        return self.kind(**{self.width: d_k}, **dict.fromkeys(self.lengths, LENGTH), **dict.fromkeys(self.bases, BASE))

    def __str__(self) -> str:
        known = (
            {self.width: "d_model / heads"} | dict.fromkeys(self.lengths, str(LENGTH)) | dict.fromkeys(self.bases, str(BASE))
        )
        return f"{self.kind.__name__}({', '.join(f'{name}={value}' for name, value in known.items())})"


def rotations(target: Any, name: str) -> list[Rotation]:
    """Return the classes of the file that may be given for an argument whose name says that it rotates, where that is called.

    Only those whose arguments are a width, lengths and a base, or have defaults.
    """
    file = inspect.getmodule(target) if _ROTATES.search(name) else None
    found = []
    for kind in classes_of(file).values() if file is not None else ():
        if kind is target or not issubclass(kind, nn.Module) or not _ROTATES.search(kind.__name__):
            continue
        parameters = inspect.signature(kind).parameters
        required = [n for n, p in parameters.items() if p.default is p.empty and p.kind not in _COLLECTED]
        widths = [n for n in required if role_of(n) in _WIDTHS]
        bases = tuple(n for n in required if _BASE.fullmatch(n))
        lengths = tuple(n for n in parameters if role_of(n) == "length")
        if len(widths) == 1 and set(required) <= {*widths, *bases, *lengths}:
            found.append(Rotation(kind, widths[0], lengths, bases))
    return found
