"""The JSON document of a run, read once: HTML, JUnit, Markdown and annotations are made from it and cannot disagree."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from mhsa.records.document.kinds import mapping, mappings
from mhsa.records.document.subject import SubjectRecord


@dataclass(frozen=True)
class RunRecord:
    """A run as docs/json.md describes it.

    Attributes:
        subjects: in the order in which they were named.
        environment: versions and conditions.
        interrupted: whether the run ended early, so that this is partial.
        strict: whether warnings and what was not judged count against a subject.
        exit_code: of the command; None where it is not written.
    """

    subjects: tuple[SubjectRecord, ...] = ()
    environment: dict[str, Any] = field(default_factory=dict)
    interrupted: bool = False
    strict: bool = False
    exit_code: int | None = None

    @classmethod
    def of(cls, data: Mapping[str, Any]) -> RunRecord:
        """Read a document, of ``as_data`` or from a file; parts that are missing are empty."""
        return cls(
            subjects=tuple(SubjectRecord.of(each) for each in mappings(data.get("subjects"))),
            environment=mapping(data.get("environment")),
            interrupted=bool(data.get("interrupted")),
            strict=bool(data.get("strict")),
            exit_code=data.get("exit_code"),
        )
