"""The sizes that are measured, by name."""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Shape:
    """Attention in ``batch`` sequences of ``length`` tokens, ``d_model`` wide, by ``head`` heads.

    Every token is a query; or the first ``queries`` of them only, if that is not 0: one query and many keys are what a decoder
    has that writes a token.
    """

    name: str
    batch: int
    length: int
    head: int
    d_model: int
    queries: int = 0

    @property
    def asked(self) -> int:
        """How many queries each sequence has."""
        return self.queries or self.length

    @property
    def d_k(self) -> int:
        """Width of a head."""
        return self.d_model // self.head

    @property
    def scores(self) -> int:
        """Number of scores: what grows with the square of the length."""
        return self.batch * self.head * self.asked * self.length

    def __str__(self) -> str:
        tokens = f"Tq={self.queries} Tk={self.length}" if self.queries else f"T={self.length}"
        return f"B={self.batch} {tokens} H={self.head} d_model={self.d_model}"

    def resized(self, head: int, d_model: int) -> Shape:
        """Return the shape for an implementation that exists in one size only."""
        return replace(self, head=head, d_model=d_model)


def long(length: int) -> Shape:
    """Return one long sequence, of the width and heads of "encoder 512": what a sweep over lengths is made of."""
    return Shape(f"long {length}", 1, length, 8, 256)


# What each is there for: a classroom module, whose time is overhead; two encoders, whose time is in the projections; long
# sequences, where everything is in the core; many heads, each narrow; a wide model, whose time is in matrix products alone.
SHAPES = {
    shape.name: shape
    for shape in (
        Shape("exercise", 2, 16, 4, 64),
        Shape("encoder 128", 4, 128, 8, 256),
        Shape("encoder 512", 1, 512, 8, 256),
        long(2048),
        long(4096),
        long(8192),
        Shape("many heads", 1, 512, 32, 512),
        Shape("wide", 1, 256, 8, 1024),
    )
}
_GIVEN = re.compile(r"(\d+)x(?:(\d+)/)?(\d+)x(\d+)x(\d+)")
_LARGEST = 2**24  # of one size; beyond it the product of two is not a realistic number of tokens


def shape_of(name: str) -> Shape:
    """Return a shape by its name, or by its sizes written as ``BxTxHxD``: batch, length, heads, d_model.

    ``BxQ/KxHxD`` has Q queries and K keys.

    Raises:
        ValueError: there is no such name, and these are no such sizes.
    """
    name = " ".join(name.split())
    if name in SHAPES:
        return SHAPES[name]
    if name.startswith("long ") and name[5:].isdecimal() and int(name[5:10]) > 0 and len(name) < 13:
        return long(int(name[5:]))
    given = _GIVEN.fullmatch(name)
    if given:
        batch, length, head, d_model = (int(given[n]) for n in (1, 3, 4, 5))
        queries = int(given[2] or length)
        sizes = (batch, queries, length, head, d_model)
        if min(sizes) < 1 or max(sizes) > _LARGEST or d_model % head:
            raise ValueError(f"shape {name!r}; sizes must be 1 to {_LARGEST}, and d_model a multiple of the heads")
        if queries > length:
            raise ValueError(
                f"shape {name!r} has more queries than keys; the first tokens are the queries, so at most {length}"
            )
        return Shape(name, batch, length, head, d_model, 0 if queries == length else queries)
    near = difflib.get_close_matches(name, SHAPES, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    raise ValueError(
        f"no shape {name!r}; known are {', '.join(SHAPES)}, or sizes as BxTxHxD, 4x128x8x256 say, or BxQ/KxHxD{hint}"
    )
