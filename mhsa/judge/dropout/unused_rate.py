"""A rate of dropout that is taken and never used: a question, unless the contract says which is meant."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from mhsa.subject import check
from mhsa.subject.memory_layout import numbers
from mhsa.subject.subject import Subject
from mhsa.subject.trial import Trial


def repeats(trial: Trial) -> bool:
    """Whether two calls of a module as it is give the same: in train mode it may drop by a rate that nobody finds."""
    outputs = []
    for seed in (0, 1):
        torch.manual_seed(seed)
        output = trial.call_again()[0]
        if not isinstance(output, torch.Tensor):
            return False
        outputs.append(numbers(output))
    return np.array_equal(outputs[0], outputs[1], equal_nan=True)


def ever_drops(judged: Trial, rate: float) -> bool:
    """Return whether two calls of a new module differ in train mode: scores that are dropped, or a rate that eval() takes away.

    Neither shows where all weights are equal, or once a module was in eval mode. The sizes are those of a trial.
    """
    subject, case = judged.subject, judged.case
    module = subject.adapter.build_dropping(case.head, case.d_model, rate)
    if module is None:
        return False
    trial = Trial(subject, replace(case, data="normal", layout="contiguous"), counted=False)
    trial()
    module = module.to(device=subject.device, dtype=trial.dtype)
    outputs = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        outputs.append(numbers(trial.caller(module, *trial.last_tensors, False)[0]))
    return not np.array_equal(outputs[0], outputs[1])


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
