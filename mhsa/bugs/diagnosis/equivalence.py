"""What a comparison with the known bugs says: which of them gives the subject's numbers, and how far that goes."""

from __future__ import annotations

from dataclasses import dataclass

from mhsa.bugs.diagnosis.quantity import ASPECTS

SCOPES = ("all", "but fully masked rows")


@dataclass(frozen=True)
class Claim:
    """That a mutant gives a subject's numbers.

    Attributes:
        scope: on which cases, one of ``SCOPES``.
        aspects: in which of ``ASPECTS``.
    """

    scope: str
    aspects: frozenset[str]


EVERYTHING = Claim("all", frozenset(ASPECTS))


@dataclass(frozen=True)
class Match:
    """A mutant that gives the subject's numbers.

    Attributes:
        name: of the mutant.
        value: of its free constant, if it has one.
        borrowed: whether that value is from the subject's source.
        words: "what it computes; must what is declared", where they are not those of the mutant; or empty.
    """

    name: str
    value: float | None = None
    borrowed: bool = False
    words: str = ""


@dataclass(frozen=True)
class Equivalence:
    """The result of a comparison.

    Attributes:
        matches: mutants that give the subject's numbers, and so the cause; usually one, or none.
        cases: how many were compared.
        wrong: on how many of them the subject's numbers are not those of the right module, wherever that drops.
        claim: how far that goes; beyond it, something else is wrong as well.
        aspects: in which of ``ASPECTS`` something is wrong; "eval" alone, where it is.
        site: what it drops in training, in words, where that is right but not what the reference drops.
    """

    matches: tuple[Match, ...]
    cases: int
    wrong: int
    claim: Claim = EVERYTHING
    aspects: frozenset[str] = frozenset()
    site: str = ""

    @property
    def names(self) -> tuple[str, ...]:
        """Of the mutants."""
        return tuple(match.name for match in self.matches)
