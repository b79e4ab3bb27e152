"""What the fields of a formula may be; without NumPy, so that contracts are read without it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cache
from typing import Any, Literal, TypeVar, cast, get_args, get_origin, get_type_hints

T = TypeVar("T")
Causal = Literal["no", "top-left", "bottom-right"]
# As a contract has it: a mask that is given may stand in for causality, and then hides later keys itself.
DeclaredCausal = Literal["no", "top-left", "bottom-right", "top-left-without-mask", "bottom-right-without-mask"]
WITHOUT_MASK = "-without-mask"
Scale = float | Literal["1/d_k"] | None
Window = tuple[int, int]  # keys before and after the own place that are seen; -1: all of them
KvHeads = Literal["grouped"] | None
Sinks = float | Literal["learned"] | None
Lse = Literal["natural", "base-2"] | None
SoftcapOrder = Literal["before-bias", "after-bias"]
# The fill of least size that is used on purpose: BERT and GPT-2 take -10000, which float16 holds with room for the scores
# (65504 is its largest number). Scores of ordinary data are some hundred, a few thousand at most, and a weight is exactly zero
# in every format once its score is 746 below the largest: -1000 and the like let scores that occur show what is hidden.
LEAST_FILL = 10000.0


@dataclass(frozen=True)
class Rotary:
    """Queries and keys are rotated by their places: pair i of place p by the angle p / base^(2 i / width).

    Attributes:
        base: of the frequencies.
        layout: which two features are a pair: i and i + width / 2 ("half"), or 2 i and 2 i + 1 ("interleaved").
        fraction: of the features of a head that is rotated, the first ones: width = fraction * d_k.
        offset: place of the first token.
        tables: what angles, cosines and sines are formed in: "float32", whatever the dtype of the data (in float64 data
            float64 is right as well); "dtype": that of the data. None is float32, and judged in the dtypes of a run alone:
            who declares "float32" promises it of half formats too.
    """

    base: float = 10000.0
    layout: Literal["half", "interleaved"] = "half"
    fraction: float = 1.0
    offset: int = 0
    tables: Literal["float32", "dtype"] | None = None

    def __post_init__(self) -> None:
        """Check each value.

        Raises:
            ValueError: with what is allowed.
        """
        if not _is_number(self.base) or not 1.0 < self.base < float("inf"):
            raise ValueError(f"base = {self.base!r}; must be a number above 1")
        if self.layout not in ("half", "interleaved"):
            raise ValueError(f"layout = {self.layout!r}; must be one of 'half', 'interleaved'")
        if not _is_number(self.fraction) or not 0.0 < self.fraction <= 1.0:
            raise ValueError(f"fraction = {self.fraction!r}; must be a number above 0, at most 1")
        if type(self.offset) is not int or self.offset < 0:
            raise ValueError(f"offset = {self.offset!r}; must be a whole number, 0 or more")
        if self.tables not in (None, "float32", "dtype"):
            raise ValueError(f"tables = {self.tables!r}; must be one of 'float32', 'dtype'")

    def width(self, d_k: int) -> int:
        """Return how many features of a head are rotated."""
        return round(self.fraction * d_k)

    @property
    def step(self) -> int:
        """The number whose multiples d_k must be, so that an even number of features is rotated."""

        def is_even(d: int) -> bool:
            rotated = self.fraction * d
            return round(rotated) % 2 == 0 and abs(rotated - round(rotated)) < 1e-6  # 0.3333333 stands for a third

        return next((d for d in range(1, 513) if round(self.fraction * d) and is_even(d)), 2)


@dataclass(frozen=True)
class QkNorm:
    """Queries and keys are normalised before they go into the scores.

    Attributes:
        kind: "rms": by the root of the mean square; "layer": after the mean is taken off; "l2": by the length.
        eps: added to the mean square, or ("l2") the least length; "dtype" is the machine epsilon of the data, and of float32
            for half formats. None: that of the module, or the usual one.
        over: the features of each "head" by itself, or "all" features of a token together.
        gain: what is multiplied with where there is a parameter for it: the "weight" itself, or "1 + weight".
        place: "before-rotary" or "after-rotary".
    """

    kind: Literal["rms", "layer", "l2"] = "rms"
    eps: float | Literal["dtype"] | None = None
    over: Literal["head", "all"] = "head"
    gain: Literal["weight", "1 + weight"] = "weight"
    place: Literal["before-rotary", "after-rotary"] = "before-rotary"

    def __post_init__(self) -> None:
        """Check each value.

        Raises:
            ValueError: with what is allowed.
        """
        for name, allowed in _words_of(QkNorm).items():
            if getattr(self, name) not in allowed:
                raise ValueError(f"{name} = {getattr(self, name)!r}; must be one of {', '.join(map(repr, allowed))}")
        if self.eps not in (None, "dtype") and not (_is_number(self.eps) and 0.0 <= float(self.eps) < 1.0):
            raise ValueError(f"eps = {self.eps!r}; must be a number from 0 to below 1, or 'dtype'")


def qk_norm_of(value: Any) -> QkNorm | None:
    """Return what was declared, a table or the kind alone.

    Raises:
        ValueError: it is neither, with what is allowed.
    """
    return declared_as(QkNorm, "kind", value)


@dataclass(frozen=True)
class Fill:
    """Masked keys are hidden by a finite number instead of -inf.

    Attributes:
        number: -10000 or lower.
        how: the scores of masked keys are "set" to the number, or it is "added" to them.
    """

    number: float
    how: Literal["set", "added"] = "set"

    def __post_init__(self) -> None:
        """Check each value.

        Raises:
            ValueError: with what is allowed.
        """
        if not _is_number(self.number) or not float("-inf") < self.number <= -LEAST_FILL:
            raise ValueError(
                f"number = {self.number!r}; must be a finite number of {-LEAST_FILL:g} or lower: scores that occur would "
                "undercut a higher one"
            )
        if self.how not in ("set", "added"):
            raise ValueError(f"how = {self.how!r}; must be one of 'set', 'added'")


def fill_of(value: Any) -> Fill | None:
    """Return what was declared, a number or a table; None for "none", which is -inf.

    Raises:
        ValueError: it is neither, with what is allowed.
    """
    if value is None or isinstance(value, Fill):
        return value
    if value == "none":
        return None
    given = {"number": value} if _is_number(value) else value
    if not isinstance(given, Mapping) or "number" not in given or not set(given) <= {"number", "how"}:
        raise ValueError("must be a number, a table of number, how, or 'none'")
    return Fill(**given)


def rotary_of(value: Any) -> Rotary | None:
    """Return what was declared, a table or the layout alone.

    Raises:
        ValueError: it is neither, with what is allowed.
    """
    return declared_as(Rotary, "layout", value)


def as_declared(value: Any) -> dict[str, Any]:
    """Return the fields that differ from their defaults, as they are written in a declaration; the first of all at least."""
    given = {f.name: getattr(value, f.name) for f in fields(value)}
    return {f.name: given[f.name] for f in fields(value) if given[f.name] != f.default} or dict([next(iter(given.items()))])


def declared_as(kind: type[T], first: str, value: Any) -> T | None:
    """Return what was declared, a table of the fields of a kind, or its first field alone; None where nothing is.

    Raises:
        ValueError: it is neither, with what is allowed.
    """
    if value is None or isinstance(value, kind):
        return value
    names = [f.name for f in fields(kind)]  # type: ignore[arg-type]
    given = {first: value} if isinstance(value, str) else value
    if not isinstance(given, Mapping) or not set(given) <= set(names):
        raise ValueError(f"must be a table of {', '.join(names)}, or the {first} alone")
    return kind(**given)


@cache  # resolving the annotations takes a quarter of a millisecond, and every call of a known bug makes some
def _words_of(kind: type) -> dict[str, tuple[str, ...]]:
    """Return the fields that are one of a few words, each with these."""
    hints = {name: hint for name, hint in get_type_hints(kind).items() if get_origin(hint) is Literal}
    return {name: get_args(hint) for name, hint in hints.items()}


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def causal_of(declared: DeclaredCausal | None) -> Causal:
    """Return what is computed where no mask is given; where one is, it is given with what causality hides."""
    aligned: Any = (declared or "no").removesuffix(WITHOUT_MASK)
    return cast(Causal, aligned)
