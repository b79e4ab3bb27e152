"""``docs/properties.md``: the catalogue as a page, written by ``mhsa properties --markdown``."""

from __future__ import annotations

from itertools import groupby

from mhsa.records.catalogue import Property, family_summary
from mhsa.reports.sources import without_ids

_HEAD = """# The properties

Written by `mhsa properties --markdown`; a test fails when this page is out of date. Each property is one pytest test in
`properties/`, one file per family, in the order in which they run. Names such as pytorch#41508 are public reports of bugs
that a property would have found.
"""


def handbook(every: list[Property]) -> str:
    """Return the page: a table of families, then every property with all that its docstring says."""
    parts = [_HEAD]
    parts += ["| family | properties | about |", "|---|---|---|"]
    families = {family: list(members) for family, members in groupby(every, key=lambda p: p.family)}
    for family, members in families.items():
        parts.append(f"| [{family}](#{family}) | {len(members)} | {family_summary(family)} |")
    parts.append(f"| all | {len(every)} | |")
    for family, members in families.items():
        parts += ["", f"## {family}", "", family_summary(family)]
        for p in members:
            parts += ["", f"### {p.id}", "", p.summary, ""]
            rows = (
                ("Statement", p.statement),
                ("Requires", p.requires),
                ("Source", without_ids(p.source)),
                ("Breaks it", p.breaks),
            )
            parts += [f"- *{title}*: {_escaped(text)}" for title, text in rows if text]
    return "\n".join(parts) + "\n"


def _escaped(text: str) -> str:
    """Keep Markdown from reading formulas as markup."""
    for sign in ("*", "_", "<", "|"):
        text = text.replace(sign, "\\" + sign)
    return text
