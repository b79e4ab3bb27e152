"""The results of a run: plain records, verdicts, and the JSON that docs/json.md describes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from mhsa.records.declarations import in_words
from mhsa.records.facts import jsonable
from mhsa.records.understood import Understood

if TYPE_CHECKING:
    from mhsa.records.diagnosis import Diagnosis
    from mhsa.records.request import Request

SCHEMA = 1

Outcome = Literal["pass", "fail", "not-applicable", "expected-failure", "unexpected-pass", "error"]
Verdict = Literal["holds", "violated", "question", "unjudged"]
_SHORT = 80  # characters of a reason in a repr, which is one line among others
EXIT_CODES: dict[Verdict, int] = {"holds": 0, "violated": 1, "question": 2, "unjudged": 2}


@dataclass(frozen=True)
class PropertyResult:
    """The result of one property on one subject; the fields are those of the JSON."""

    id: str
    outcome: Outcome
    cases: int = 0
    worst_error_over_bound: float | None = None
    seconds: float = 0.0
    reason: str = ""
    counterexample: dict[str, Any] | None = None
    worst_by_dtype: dict[str, float] = field(default_factory=dict)

    def __repr__(self) -> str:
        """In one line: a whole counterexample fills a screen, and stands in ``counterexample``."""
        words = " ".join(self.reason.split())
        return f"<{self.id} {self.outcome}{': ' if words else ''}{words[:_SHORT]}{'...' if len(words) > _SHORT else ''}>"

    @property
    def family(self) -> str:
        """The part of the id that names the property's file."""
        return self.id.partition(".")[0]


@dataclass
class SubjectResult:
    """All results of one subject.

    Attributes:
        subject: the object, as it was named.
        notes: how it was understood, as (topic, words).
        properties: the result of each.
        reason: why it could not be judged, where that is not one property alone.
        label: what it is called; the subject itself unless the configuration has another name for it.
        device: that it was judged on.
        place: file and line of its own code.
        warnings: what is odd, without being wrong: an expected failure that passes, say.
        interrupted: whether the run ended before it was through.
        coverage: which of its lines were never executed, if that was measured.
        question: whether ``reason`` is a question: the subject was not understood, and a declaration or an adapter answers it.
        declaration: fields of the contract that answer the question; the properties were then judged under them.
        declare: the lines that declare them, in "pyproject.toml", as "option" and in the "class".
        reading: how it was understood, part by part, and how each is known.
        not_judged: what a user can reach and nothing has tried: ``argument key_padding_mask``, ``weights in attn``.
        accepted: the part of it that the configuration accepts, so that ``strict`` lets it pass.
        means: the subjects that may be meant, as they are typed, where a file or a layer has several.
        began: when its first property ran, by the monotonic clock of the process that listens; 0 where none does.
        seconds: from then to the end of the last one; several processes judge at a time.
        unused: what is declared and applies to nothing in it, as ``contract.mask`` or ``arguments.window``: nothing was judged.
    """

    subject: str
    notes: list[tuple[str, str]] = field(default_factory=list)
    properties: list[PropertyResult] = field(default_factory=list)
    reason: str = ""
    label: str = ""
    device: str = "cpu"
    place: tuple[str, int] | None = None
    warnings: list[str] = field(default_factory=list)
    interrupted: bool = False
    coverage: dict[str, Any] | None = None
    question: bool = False
    declaration: dict[str, Any] = field(default_factory=dict)
    declare: dict[str, str] = field(default_factory=dict)
    reading: list[Understood] = field(default_factory=list)
    not_judged: list[str] = field(default_factory=list)
    accepted: list[str] = field(default_factory=list)
    means: list[str] = field(default_factory=list)
    began: float = 0.0
    seconds: float = 0.0
    unused: str = ""

    def __post_init__(self) -> None:
        self.label = self.label or self.subject

    @property
    def verdict(self) -> Verdict:
        """Return violated if a property fails; holds only if something was judged and nothing was in the way."""
        return verdict_of(self)

    @property
    def under(self) -> dict[str, Any] | None:
        """Return ``declaration``, ``passed``, ``failed`` and ``judged``: what holds under what a question says to declare.

        None where no property was judged so.
        """
        passed = self.count("pass", "expected-failure", "unexpected-pass")
        judged = passed + self.count("fail", "error")
        if not self.question or not self.declaration or not judged:
            return None
        return {"declaration": self.declaration, "passed": passed, "failed": self.count("fail"), "judged": judged}

    def as_judged(self, request: Request) -> Request:
        """Return the request with what its question declares, if properties were judged under that."""
        return request.under(self.declaration) if self.under is not None else request

    @property
    def then(self) -> str:
        """Return the same in words, empty where no property was judged so."""
        under = self.under
        return "" if under is None else what_then(under)

    @property
    def open(self) -> list[str]:
        """Return what was not judged, unless the user has accepted it."""
        return [words for words in self.not_judged if words not in self.accepted]

    def count(self, *outcomes: Outcome) -> int:
        """Return the number of properties with one of these outcomes."""
        return sum(p.outcome in outcomes for p in self.properties)

    @property
    def why(self) -> str:
        """Return why it is unjudged, or the question."""
        return why_unjudged(self)


def what_then(under: Mapping[str, Any]) -> str:
    """Return what holds under the declaration of a question, in words."""
    passed, failed, judged = under["passed"], under["failed"], under["judged"]
    lost = judged - passed - failed
    figures = f"{failed} of {judged} properties fail" if failed else f"{passed} of {judged} properties hold"
    more = f", {lost} could not be judged" if lost else ""
    said = {name: value for name, value in under["declaration"].items() if name != "reason"}
    return f"under {in_words(said)}: {figures}{more}"


_MOST = 3  # errors that are listed in one line


def verdict_of(result: SubjectResult) -> Verdict:
    """Return the verdict on a subject, by its results: nothing else decides."""
    outcomes = [p.outcome for p in result.properties]
    if result.question:
        return "question"
    if "fail" in outcomes:
        return "violated"
    judged = any(outcome in ("pass", "expected-failure", "unexpected-pass") for outcome in outcomes)
    clear = "error" not in outcomes and not result.reason and not result.interrupted
    return "holds" if judged and clear else "unjudged"


def why_unjudged(result: SubjectResult) -> str:
    """Return why a subject is unjudged, or the question."""
    if result.interrupted:
        return f"interrupted after {len(result.properties)} properties"
    errors = [f"{p.id}: {p.reason}" for p in result.properties if p.outcome == "error"]
    more = f"; and {len(errors) - _MOST} more" if len(errors) > _MOST else ""
    return result.reason or "; ".join(errors[:_MOST]) + more or "no property was applicable, so nothing was judged"


def exit_code(results: list[SubjectResult], *, strict: bool = False) -> int:
    """Return 0 if every subject holds, 2 if one could not be judged, else 1: what was not judged outranks a verdict.

    With ``strict``, warnings count as violations, and what was not judged as a subject that could not be.
    """
    if any(r.interrupted for r in results):
        return 2
    codes = [max(EXIT_CODES[r.verdict], int(strict and bool(r.warnings)), 2 * int(strict and bool(r.open))) for r in results]
    return max(codes, default=2)


def as_data(
    results: list[SubjectResult],
    environment: dict[str, Any],
    diagnoses: Mapping[str, Diagnosis] | None = None,
    *,
    code: int | None = None,
    strict: bool = False,
) -> dict[str, Any]:
    """Return the results of a run as docs/json.md describes them; every report is made from that."""
    subjects = [
        {
            "subject": r.subject,
            "label": r.label,
            "verdict": r.verdict,
            "reason": r.why if r.verdict in ("unjudged", "question") else "",
            "declaration": r.declaration,
            "declare": r.declare,
            "under": r.under,
            "understood": dict(r.notes),
            "reading": [asdict(part) for part in r.reading],
            "seconds": round(r.seconds, 3),
            "not_judged": r.not_judged,
            "accepted": r.accepted,
            "place": None if r.place is None else {"file": r.place[0], "line": r.place[1]},
            "warnings": r.warnings,
            "coverage": r.coverage,
            "diagnosis": asdict(diagnoses[r.label]) if diagnoses and r.label in diagnoses else None,
            "properties": [{"id": p.id, "family": p.family} | asdict(p) for p in r.properties],
        }
        for r in results
    ]
    return {
        "schema": SCHEMA,
        "environment": environment,
        "interrupted": any(r.interrupted for r in results),
        "exit_code": exit_code(results, strict=strict) if code is None else code,
        "strict": strict,
        "subjects": subjects,
    }


def as_json(data: dict[str, Any]) -> str:
    """Return the data as JSON, as strict readers want it."""
    return json.dumps(jsonable(data), indent=2, allow_nan=False) + "\n"


def write_json(
    path: Path, results: list[SubjectResult], environment: dict[str, Any], diagnoses: Mapping[str, Diagnosis] | None = None
) -> None:
    """Write the results of a run.

    Raises:
        OSError: the file cannot be written.
    """
    path.write_text(as_json(as_data(results, environment, diagnoses)), encoding="utf-8")
