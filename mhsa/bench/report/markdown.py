"""The figures of ``mhsa bench`` in GitHub's Markdown, for a README or a pull request.

Text that comes from outside is escaped and never begins a line, so it cannot become a heading, a list, a table or HTML.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from mhsa.bench.measure.measurement import Measurement
from mhsa.bench.report import format as wording
from mhsa.bench.report import sentences
from mhsa.bench.report.format import Group, shown
from mhsa.reports.markdown_text import table, text


def markdown(measurements: Sequence[Measurement], machine: Mapping[str, str | int]) -> str:
    """Return tables of time and memory, a row per shape, with the reasons of missing figures, growth and the conditions."""
    lines: list[str] = []
    for group in wording.grouped(measurements):
        lines += [f"### {text(group.title)}", "", "Time of one call, its ratio to the baseline:", "", *_table(group, _time), ""]
        if group.remembers:
            lines += ["Peak memory:", "", *_table(group, wording.peak), ""]
    reasons = [text(words) for words in sentences.reasons(measurements)]
    growth = [f"**{text(words)}**" if left else text(words) for words, left in sentences.growth_lines(measurements)]
    for title, listed in (("Without figures", reasons), ("Growth with the sequence length T", growth)):
        lines += [f"{title}:", "", *(f"- {sentence}" for sentence in listed), ""] if listed else []
    checked = [text(words) for words in sentences.checked(measurements)]
    if checked:
        lines += [text(sentences.READING[0]), "", f"Compared with the oracle before it was timed: {'; '.join(checked)}.", ""]
    return "\n".join([*lines, f"Measured on: {text(', '.join(f'{name} {value}' for name, value in machine.items()))}."]) + "\n"


def _table(group: Group, figure: Callable[[Measurement], str | None]) -> Iterator[str]:
    names = group.implementations
    rows = ([group.name(shape), *(shown(group.cells.get((shape, name)), figure) for name in names)] for shape in group.shapes)
    head = ["shape", *map(text, names)]
    return table(head, (list(map(text, row)) for row in rows), right=range(1, len(head)))


def _time(m: Measurement) -> str | None:
    """The time, the ratio, and the ratio's interval where that is wide."""
    time, ratio, interval = wording.time(m), wording.ratio(m), wording.interval(m)
    if time is None or ratio is None:
        return time
    return f"{time} ({ratio}; {interval})" if interval and wording.wide(m) else f"{time} ({ratio})"
