"""What a run found: plain records, verdicts, and the JSON that docs/json.md describes."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

SCHEMA = 1

Outcome = Literal["pass", "fail", "not-applicable", "expected-failure", "error"]
Verdict = Literal["holds", "violated", "unjudged"]
EXIT_CODES: dict[Verdict, int] = {"holds": 0, "violated": 1, "unjudged": 2}


@dataclass(frozen=True)
class PropertyResult:
    """What one property found of one subject; the fields are those of the JSON."""

    id: str
    outcome: Outcome
    cases: int = 0
    worst_error_over_bound: float | None = None
    seconds: float = 0.0
    reason: str = ""
    counterexample: dict[str, Any] | None = None
    worst_by_dtype: dict[str, float] = field(default_factory=dict)

    @property
    def family(self) -> str:
        """The part of the id that names the property's file."""
        return self.id.partition(".")[0]


@dataclass
class SubjectResult:
    """All that was found of one subject."""

    subject: str
    notes: list[tuple[str, str]] = field(default_factory=list)
    properties: list[PropertyResult] = field(default_factory=list)
    reason: str = ""  # why it could not be judged, where that is no property's fault

    @property
    def verdict(self) -> Verdict:
        """Return violated if a property fails; holds only if something was judged and nothing was in the way."""
        outcomes = [p.outcome for p in self.properties]
        if "fail" in outcomes:
            return "violated"
        judged = any(outcome in ("pass", "expected-failure") for outcome in outcomes)
        return "holds" if judged and "error" not in outcomes and not self.reason else "unjudged"

    def count(self, *outcomes: Outcome) -> int:
        """Return the number of properties with one of these outcomes."""
        return sum(p.outcome in outcomes for p in self.properties)

    @property
    def why(self) -> str:
        """Return why it is unjudged."""
        errors = [f"{p.id}: {p.reason}" for p in self.properties if p.outcome == "error"]
        return self.reason or "; ".join(errors) or "no property was applicable, so nothing was judged"


def exit_code(results: list[SubjectResult]) -> int:
    """Return 0 if every subject holds, 2 if one could not be judged, else 1: what was not judged outranks a verdict."""
    return max((EXIT_CODES[r.verdict] for r in results), default=2)


def write_json(path: Path, results: list[SubjectResult], environment: dict[str, Any]) -> None:
    """Write the results of a run.

    Raises:
        OSError: the file cannot be written.
    """
    subjects = [
        {
            "subject": r.subject,
            "verdict": r.verdict,
            "reason": r.why if r.verdict == "unjudged" else "",
            "understood": dict(r.notes),
            "properties": [{"id": p.id, "family": p.family} | asdict(p) for p in r.properties],
        }
        for r in results
    ]
    data = {"schema": SCHEMA, "environment": environment, "exit_code": exit_code(results), "subjects": subjects}
    path.write_text(json.dumps(data, indent=2, allow_nan=False) + "\n", encoding="utf-8")
