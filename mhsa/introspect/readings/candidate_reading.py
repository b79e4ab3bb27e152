"""One way of reading a part of an interface: the subject read so, how that is known, and the declaration that states it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from mhsa.records.understood import Known, Understood
from mhsa.subject.subject import Subject


@dataclass(frozen=True)
class Reading:
    """A candidate of one stage.

    Attributes:
        subject: read in this way.
        part: of the interface, as in :class:`mhsa.records.understood.Understood`.
        text: what it is read as, to follow "it".
        known: how that is known, if it fits.
        certain: whether a fit is enough; else it contradicts the usual answer, or what the code says, and is a question.
        declaration: fields of the contract under which the fit is certain.
        pins: all fields that state the reading, for whoever wants it fixed.
    """

    subject: Subject
    part: str
    text: str
    known: Known = "fitted"
    certain: bool = True
    declaration: Mapping[str, Any] = field(default_factory=dict)
    pins: Mapping[str, Any] = field(default_factory=dict)

    @property
    def understood(self) -> Understood:
        """Return it as what is printed of a subject."""
        return Understood(self.part, self.text, self.known, dict(self.pins))


def first_fit(readings: Iterable[Reading], fits: Callable[[Subject], bool]) -> Reading | None:
    """Return the first reading under which the implementation is exactly right."""
    return next((reading for reading in readings if fits(reading.subject)), None)
