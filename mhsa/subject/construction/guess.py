"""One value to try for an argument: a role, a number, a part of the file, or a dict of roles; and how it is printed."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

from torch import nn

from mhsa.subject.construction.argument_roles import Role
from mhsa.subject.construction.by_source.collected_arguments import Keys
from mhsa.subject.construction.by_source.rotations import Rotation

EPSILON = 1e-5  # torch's own of nn.LayerNorm
IDENTITY = nn.Identity()  # in the place of an activation or a norm, which plain attention has not; it has no numbers


@dataclass(frozen=True)
class Core:
    """A class of the file that attends on heads, and has no parameters: what it is built with.

    Attributes:
        kind: the class.
        off: switches that plain attention has off, and this class on by default.
        whole: whether the class is given, which the constructor calls itself.
    """

    kind: type[nn.Module]
    off: tuple[str, ...] = ()
    whole: bool = False

    def __call__(self, d_k: int) -> Any:
        """Build one, or return what builds one; it attends to heads of any width."""
        make = functools.partial(self.kind, **dict.fromkeys(self.off, False))
        return make if self.whole else make()

    def __str__(self) -> str:
        given = ", ".join(f"{name}=False" for name in self.off)
        if self.whole and not given:
            return self.kind.__name__
        return f"partial({self.kind.__name__}, {given})" if self.whole else f"{self.kind.__name__}({given})"


@dataclass(frozen=True)
class Guess:
    """One value to try.

    Attributes:
        role: what it stands for, where the value depends on the sizes.
        value: it is given, where it has no role.
        made: builds what is given, one for each module.
        keys: of a dict that is given, with their roles; None where it is no dict.
    """

    role: Role | None = None
    value: Any = None
    made: Core | Rotation | None = None
    keys: Keys | None = None

    @property
    def words(self) -> str:
        """The value, as it is printed."""
        if self.role is not None:
            return _WORDS.get(self.role, self.role)
        if self.keys is not None:
            return f"dict({', '.join(f'{name}={_WORDS.get(role, role)}' for name, role in self.keys)})"
        if self.value in (IDENTITY, nn.Identity):
            return "nn.Identity"
        return str(self.made) if self.made is not None else repr(self.value)


_WORDS: dict[Role, str] = {
    "other width": "d_model",
    "head width": "d_model / heads",
    "dropout": "a rate of dropout",
    "score divisor": "sqrt(d_model / heads)",
    "score factor": "1 / sqrt(d_model / heads)",
    "map": "nn.Linear(d_model, d_model)",
}

WIDTHS = ("d_model", _WORDS["other width"], _WORDS["head width"])  # as they are printed

SIZES = (*WIDTHS, "head", "kv head")  # a scale, a norm or a softmax is never switched off by one of these

# Tried where nothing else is suggested, or can be called.
LAST = (Guess(value=None), Guess(value=False), Guess(role="other width"), Guess(value=1), Guess(role="head width"))


def is_same(one: Guess, other: Guess) -> bool:
    """Whether two guesses give the same."""
    return (one.role, repr(one.value), one.made, one.keys) == (other.role, repr(other.value), other.made, other.keys)
