"""A rate of dropout that is taken and never used: a question, unless the contract says which is meant."""

from __future__ import annotations

from mhsa.subject import check
from mhsa.subject.subject import Subject


def require_use(subject: Subject, rate: float, *, used: bool) -> None:
    """Fail where a rate is not used and nothing is declared, and where it is used though nothing is declared to be dropped.

    Args:
        subject: whose contract says ``dropout = "never"``, ``"applied"`` or nothing.
        rate: that was set.
        used: whether anything is dropped in train mode.
    """
    declared = subject.contract.dropout
    if used and declared == "never":
        check.fail(f"with dropout {rate} something is dropped, but the contract says dropout = 'never'", what="dropout")
    if not used and declared is None:
        check.fail(
            f"with dropout {rate} in train mode nothing is dropped; Contract(dropout='never') says that this is meant",
            what="dropout", declaration={"dropout": "never"},
            question="it takes a rate of dropout, and nothing is dropped in train mode; nothing else is wrong",
        )  # fmt: skip


def not_if_never(subject: Subject) -> None:
    """End a property about what is dropped, where the contract says that nothing is."""
    check.not_under('dropout = "never"' if subject.contract.dropout == "never" else "", "something is dropped")
