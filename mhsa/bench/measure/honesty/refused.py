"""How a time is refused that does not say how long the computation takes."""

from __future__ import annotations

from mhsa.bench.measure.measurement import WORDS, Outcome


class TimeRefused(Exception):
    """A contender has no time: ``outcome`` is "wrong" where a result is, "suspect" where it does something around the call."""

    def __init__(self, outcome: Outcome, reason: str) -> None:
        super().__init__(reason)
        self.outcome: Outcome = outcome
        self.reason = reason

    @property
    def words(self) -> str:
        """What stands in a report instead of a time."""
        return f"{WORDS[self.outcome]}: {self.reason}"
