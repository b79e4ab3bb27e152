"""Whether a subject as it was read gives exactly what the oracle gives: proof of the reading, on sizes that all differ."""

from __future__ import annotations

from dataclasses import replace

from mhsa.introspect.find_mask_form import ask, find_float64, inside
from mhsa.subject.parameter_layout import Sizes
from mhsa.subject.subject import Subject


def fits(subject: Subject, sizes: Sizes) -> bool:
    """Whether the output without a mask, in float64, is within the oracle's bound."""
    try:
        on_cpu = replace(subject, device="cpu")
        on_cpu = replace(on_cpu, contract=find_float64(on_cpu, sizes))
        answer = ask(on_cpu, sizes, "none")
    except Exception:  # it cannot be read so
        return False
    return answer is not None and inside(answer.output, answer.expected.output.value, answer.expected.output.error)
