"""The fourth stage: in which other positions a subject is judged, too: other widths, and switches turned round."""

from __future__ import annotations

from dataclasses import replace

from mhsa.introspect.readings.masks.fill import find_fill
from mhsa.introspect.readings.other_widths import read_input_widths, with_other_widths
from mhsa.introspect.readings.switches import read_switches
from mhsa.introspect.readings.value_width import read_value_width
from mhsa.subject.subject import Subject


def with_other_positions(read: Subject) -> tuple[Subject, dict[str, str]]:
    """Return a subject that is read with its switches and other widths, and for each switch why it is not judged, if so."""
    on_cpu = replace(read, device="cpu")
    subject = with_other_widths(replace(read, fill=find_fill(on_cpu)))
    switches, turned, about_switches = read_switches(replace(subject, device="cpu"))
    subject = replace(subject, switches=switches, understood=(*subject.understood, *turned))
    for read_widths in (read_value_width, read_input_widths):
        if (apart := read_widths(replace(subject, device="cpu", switches=()))) is not None:
            subject = replace(subject, switches=(*subject.switches, apart[0]), understood=(*subject.understood, apart[1]))
    return subject, about_switches
