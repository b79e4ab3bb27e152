"""What can be said about the cause of a violation: a known bug, and how well its numbers fit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

Kind = Literal["confirmed", "similar", "unknown"]


@dataclass(frozen=True)
class Cause:
    """A known bug.

    Attributes:
        name: of the mutant.
        summary: the bug in one sentence.
        computes, must_be: the line of mathematics, as it is with the bug and as it must be.
        census: real bugs of that kind.
        shared: of all properties that the subject or this bug fails, the share that both fail; None if it is confirmed.
    """

    name: str
    summary: str
    computes: str
    must_be: str
    census: str
    shared: float | None = None


@dataclass(frozen=True)
class Diagnosis:
    """What can be said about the cause.

    Attributes:
        kind: "confirmed" if the subject gives a known bug's numbers on all cases; "similar" if it fails the same
            properties as one; else "unknown".
        causes: the bugs; several confirmed ones are those that the cases cannot distinguish.
        words: sentences for people.
        cases: on which numbers were compared.
        wrong: of these, where the subject's were not those of a right module.
        picture: expected and observed weights of one head, if they were requested and differ.
    """

    kind: Kind
    causes: tuple[Cause, ...] = ()
    words: tuple[str, ...] = ()
    cases: int = 0
    wrong: int = 0
    picture: dict[str, Any] | None = None
