"""What the attributions of a comparison say, for a terminal and for Markdown: each line once, whatever it is named for."""

from __future__ import annotations

from collections.abc import Sequence

from mhsa.bench.compare.attribution.attribute import Attribution, Measure, NamedLine, grouped
from mhsa.reports.line_folding import short

TITLE = "what makes the difference"
_SHOWN = 3  # lines
_LETTERS = 60  # of a line of source
OF = {
    "seconds": "of the difference",
    "calls": "of the difference in operators",
    "bytes": "of the difference in bytes",
}


def entries(attributions: Sequence[tuple[str, Attribution]]) -> list[tuple[str, list[str]]]:
    """Return a title and what is to be said of it, for each line that is named, and for all that none is named for."""
    found = []
    measures = {benchmark: attribution.measure for benchmark, attribution in attributions}
    every = grouped(attributions)
    for line, shares in every[:_SHOWN]:
        text = f"{line.where}  {short(line.text, _LETTERS)}"
        found.append((text, [shares_in_words(shares, measures, len(attributions)), *details(line)]))
    if every[_SHOWN:]:
        found.append((f"and {len(every) - _SHOWN} lines more, with less of it", []))
    problems: dict[str, list[str]] = {}
    for benchmark, attribution in attributions:
        if attribution.problem:
            problems.setdefault(attribution.problem, []).append(benchmark)
    found += [(names[0] if len(names) == 1 else f"{len(names)} benchmarks", [words]) for words, names in problems.items()]
    return found


def shares_in_words(shares: Sequence[tuple[str, float]], measures: dict[str, Measure], of: int) -> str:
    """Return which share of which difference a line has."""
    low, high = min(share for _, share in shares), max(share for _, share in shares)
    share = f"{high:.0%}" if f"{low:.0%}" == f"{high:.0%}" else f"{low:.0%} to {high:.0%}"
    kinds = dict.fromkeys(OF[measures[name]] for name, _ in shares)
    words = f"{share} {' and '.join(kinds)}"
    if of == 1:
        return words
    return f"{words} in {shares[0][0]}" if len(shares) == 1 else f"{words} in {len(shares)} benchmarks"


def details(line: NamedLine) -> list[str]:
    """Return what a line does more, what it stands in the place of, and which lines it reaches."""
    words = "; ".join(
        filter(None, [", ".join(line.reasons), f"at base: {short(line.instead, _LETTERS)}" if line.instead else ""])
    )
    return [*([words] if words else []), *(f"reaches {where}: {what}" for where, what in line.reaches)]
