"""Switches of causality in a constructor or a call, each judged in its other position, too."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from mhsa.records.case import Case
from mhsa.records.contract import Contract
from mhsa.subject.adapter import Adapter
from mhsa.subject.subject import Subject


@dataclass(frozen=True)
class Switch:
    """A switch in the position that is not its default.

    Attributes:
        words: ``causal=True``.
        adapter: which builds or calls the implementation so.
        contract: what it then computes.
        square: whether it is asked only where there are as many queries as keys: only there is one answer usual.
    """

    words: str
    adapter: Adapter
    contract: Contract
    square: bool = False

    def of(self, subject: Subject) -> Subject:
        """Return the subject with the switch in this position."""
        caller = replace(subject.caller, adapter=self.adapter, contract=self.contract)
        return replace(subject, adapter=self.adapter, contract=self.contract, caller=caller, switches=())


def in_a_position(subject: Subject, case: Case) -> tuple[Subject, Case, str]:
    """Return the subject with its switches as they stand, or with one of them turned, and the words for what is compared.

    The case's seed decides, so that a case that is replayed is judged in the same position.
    """
    switches: Sequence[Switch] = subject.switches
    chosen = case.seed % (1 + len(switches))
    if not chosen:
        return subject, case, "output"
    switch = switches[chosen - 1]
    case = case.resized(query_length=case.key_length) if switch.square else case
    return switch.of(subject), case, f"with {switch.words}, output"
