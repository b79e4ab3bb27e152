"""One subject of the JSON document: its verdict as it is written there, and all that reports say of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, cast, get_args

from mhsa.records.diagnosis import Cause, Diagnosis, Kind
from mhsa.records.document.counterexample import Counterexample
from mhsa.records.document.kinds import mapping, mappings, number, text, texts, whole
from mhsa.records.results import Outcome, PropertyResult, Verdict, what_then


@dataclass(frozen=True, repr=False)
class PropertyRecord(PropertyResult):
    """A property's result as the document has it.

    Attributes:
        reproduce: the command that runs this property alone on the same cases; empty where it did not fail.
    """

    reproduce: str = ""

    @cached_property
    def facts(self) -> Counterexample:
        """The counterexample by its parts."""
        return Counterexample.of(self.counterexample)

    @classmethod
    def of(cls, data: Mapping[str, Any]) -> PropertyRecord:
        """Read a property's result."""
        worst = data.get("worst_error_over_bound")
        return cls(
            id=text(data.get("id")),
            outcome=cast(Outcome, text(data.get("outcome"))),  # one that is not known is shown as it is written
            cases=whole(data.get("cases")),
            worst_error_over_bound=None if worst is None else number(worst),
            seconds=number(data.get("seconds") or 0),
            reason=text(data.get("reason")),
            counterexample=mapping(data.get("counterexample")) or None,
            worst_by_dtype={name: number(x) for name, x in mapping(data.get("worst_by_dtype")).items()},
            reproduce=text(data.get("reproduce")),
        )


@dataclass(frozen=True)
class Coverage:
    """Which lines of the subject's file no property executed.

    Attributes:
        file: the path.
        statements: how many the file has.
        executed: how many of them were executed.
        missing: numbers of the lines that were not.
        lines: the source of these lines and of those around them, by number.
    """

    file: str
    statements: int
    executed: int
    missing: tuple[int, ...] = ()
    lines: dict[int, str] = field(default_factory=dict)

    @classmethod
    def of(cls, data: Any) -> Coverage | None:
        """Read it; None where it was not measured."""
        known = mapping(data)
        if not known.get("file"):
            return None
        return cls(
            text(known["file"]),
            whole(known.get("statements")),
            whole(known.get("executed")),
            tuple(whole(n) for n in known.get("missing") or ()),
            {whole(n): text(line) for n, line in mapping(known.get("lines")).items()},
        )


@dataclass(frozen=True)
class SubjectRecord:
    """One subject; the attributes are those of :class:`mhsa.records.results.SubjectResult` where the names are the same.

    Attributes:
        verdict: as it is written; what is not a verdict is "unjudged".
        under: declaration, passed, failed, judged: what holds under the declaration that a question suggests; else None.
        diagnosis: the likely cause; None where none was looked for.
    """

    subject: str
    label: str
    verdict: Verdict
    reason: str = ""
    notes: tuple[tuple[str, str], ...] = ()
    properties: tuple[PropertyRecord, ...] = ()
    place: tuple[str, int] | None = None
    warnings: tuple[str, ...] = ()
    coverage: Coverage | None = None
    declare: dict[str, str] = field(default_factory=dict)
    under: dict[str, Any] | None = None
    seconds: float = 0.0
    not_judged: tuple[str, ...] = ()
    accepted: tuple[str, ...] = ()
    diagnosis: Diagnosis | None = None

    @property
    def open(self) -> list[str]:
        """Return what was not judged and is not accepted: what --strict does not let pass."""
        return [words for words in self.not_judged if words not in self.accepted]

    @property
    def why(self) -> str:
        """Return why the subject does not hold although none of its properties fails."""
        return self.reason or "no reason was given"

    @property
    def then(self) -> str:
        """Return what holds under the declaration that a question suggests, in words; empty where nothing was judged so."""
        return "" if self.under is None else what_then(self.under)

    def of_outcome(self, *outcomes: str) -> list[PropertyRecord]:
        """Return the properties with one of these outcomes."""
        return [p for p in self.properties if p.outcome in outcomes]

    @classmethod
    def of(cls, data: Mapping[str, Any]) -> SubjectRecord:
        """Read a subject."""
        subject, verdict, place = text(data.get("subject")), data.get("verdict"), mapping(data.get("place"))
        under = mapping(data.get("under"))
        return cls(
            subject=subject,
            label=text(data.get("label")) or subject,
            verdict=cast(Verdict, verdict) if verdict in get_args(Verdict) else "unjudged",
            reason=text(data.get("reason")),
            notes=tuple((topic, text(words)) for topic, words in mapping(data.get("understood")).items()),
            properties=tuple(PropertyRecord.of(each) for each in mappings(data.get("properties"))),
            place=(text(place["file"]), whole(place.get("line")) or 1) if place.get("file") else None,
            warnings=texts(data.get("warnings")),
            coverage=Coverage.of(data.get("coverage")),
            declare={where: text(lines) for where, lines in mapping(data.get("declare")).items()},
            under=under if {"declaration", "passed", "failed", "judged"} <= under.keys() else None,
            seconds=number(data.get("seconds")),
            not_judged=texts(data.get("not_judged")),
            accepted=texts(data.get("accepted")),
            diagnosis=read_diagnosis(data.get("diagnosis")),
        )


def read_diagnosis(data: Any) -> Diagnosis | None:
    """Read the likely cause of a subject; None where none was looked for."""
    known, picture = mapping(data), mapping(mapping(data).get("picture"))
    kind = known.get("kind")
    return None if not known else Diagnosis(
        kind=cast(Kind, kind) if kind in get_args(Kind) else "unknown",
        causes=tuple(_cause(each) for each in mappings(known.get("causes"))),
        words=texts(known.get("words")),
        cases=whole(known.get("cases")),
        wrong=whole(known.get("wrong")),
        picture={name: picture.get(name) for name in _PICTURE} if picture.get("expected") else None,
    )  # fmt: skip


_PICTURE = ("what", "sample", "head", "case", "allowed", "expected", "observed")


def _cause(data: Mapping[str, Any]) -> Cause:
    words = {name: text(data.get(name)) for name in ("name", "summary", "computes", "must_be", "census")}
    return Cause(**words, shared=None if data.get("shared") is None else number(data["shared"]))
