"""What is asked about a subject, and the subject as it is under what the question declares."""

from collections.abc import Mapping
from typing import Any

from mhsa.introspect.questions import load_under
from mhsa.records.request import Request
from mhsa.subject.subject import Subject


def asked(spec: str) -> tuple[Mapping[str, Any], Subject]:
    """Return the declaration of the question that there must be about a subject, and the subject under it."""
    loaded = load_under(Request.of(spec))
    assert loaded.question is not None
    assert isinstance(loaded.subject, Subject)
    return loaded.question.declaration, loaded.subject
