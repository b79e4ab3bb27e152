"""The lines of a script that compare a returned log-sum-exp with what it must be."""

from __future__ import annotations

import numpy as np

from mhsa.judge.script.recorded_calls import RecordedCall
from mhsa.judge.script.written_tensors import judged_lines
from mhsa.oracle.bounded import Bounded
from mhsa.subject.subject import Subject


def lse_lines(subject: Subject, call: RecordedCall, place: int | None, must: Bounded | None) -> list[str]:
    """Return lines that compare the log-sum-exp [B, H, Tq], where one is judged; none where none is.

    Args:
        subject: that returned it.
        call: with the answer.
        place: of the log-sum-exp among ``members``.
        must: what it must be, with its bound.
    """
    if call.answer is None or call.answer.lse is None or place is None or must is None:
        return []
    rows = call.answer.attended[:, None, :, 0]
    known = Bounded(must.value, np.where(np.isfinite(must.error), must.error, 0.0))  # where it is not, nothing is compared
    form = subject.caller.lse_form
    return [
        "from mhsa.subject.returned import lse_in_usual_order",
        f"lse = lse_in_usual_order(members[{place}], {form!r}, {call.case.batch})",
        *judged_lines("lse", known, rows),
    ]
