"""The table of properties and the buttons that filter it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from mhsa.records.catalogue import Property
from mhsa.records.document.subject import PropertyRecord
from mhsa.reports.html.markup import Markup, breakable, join, scrolling, tag

_NOTHING = "\N{EN DASH}"
# In the order of the buttons. The signs differ in shape, so that nothing is said by colour alone.
SIGNS = {
    "fail": "✕",
    "error": "!",
    "unexpected-pass": "▲",
    "expected-failure": "△",
    "pass": "✓",
    "not-applicable": _NOTHING,
}
_COLUMNS = ("property", "family", "outcome", "cases", "error/bound", "seconds")


def words(outcome: str) -> str:
    """Return an outcome as it is read aloud."""
    return outcome.replace("-", " ")


def table(properties: Sequence[PropertyRecord], statements: Mapping[str, Property], anchors: Mapping[str, str]) -> Markup:
    """Draw the filters and one row per property.

    Args:
        properties: of one subject.
        statements: by id; what a property is about stands below its id.
        anchors: of the failures that are shown, by id.
    """
    head = [tag("th", name, scope="col", class_="figure" if n > 2 else name) for n, name in enumerate(_COLUMNS)]
    rows = [_row(p, statements.get(p.id), anchors.get(p.id)) for p in properties]
    body = tag("table", tag("thead", tag("tr", *head)), tag("tbody", *rows), class_="list properties")
    return join([_filters(properties), scrolling("Properties", body)])


def _filters(properties: Sequence[PropertyRecord]) -> Markup:
    """Buttons with counts and a field; hidden until the script is there to make them work."""
    counts = Counter[str](p.outcome for p in properties)
    known = [outcome for outcome in SIGNS if outcome in counts]
    buttons = [_button("", "all", len(properties), pressed=True)]
    buttons += [
        _button(o, f"{SIGNS.get(o, '?')} {words(o)}", counts[o]) for o in [*known, *sorted(counts.keys() - SIGNS.keys())]
    ]
    field = tag("input", type="search", placeholder="part of an id", aria_label="Show properties whose id holds this text")
    status = tag("span", f"{len(properties)} of {len(properties)} shown", role="status")
    group = tag("div", *buttons, role="group", aria_label="Show properties by outcome", class_="buttons")
    return tag("div", group, field, status, class_="filters", hidden=True)


def _button(outcome: str, label: str, count: int, *, pressed: bool = False) -> Markup:
    state = "true" if pressed else "false"
    figure = tag("span", count, class_="count")
    return tag("button", f"{label} ", figure, type="button", aria_pressed=state, data_outcome=outcome)


def _row(p: PropertyRecord, known: Property | None, anchor: str | None) -> Markup:
    name: Markup = tag("code", breakable(p.id))
    if anchor is not None:
        name = tag("a", name, href=f"#{anchor}")
    about = tag("p", known.summary, class_="about") if known is not None else None
    reason = tag("p", p.reason, class_="reason") if p.reason and p.outcome not in ("fail", "pass") else None
    sign = tag("span", SIGNS.get(p.outcome, "?"), aria_hidden="true", class_="sign")
    return tag(
        "tr",
        tag("th", name, about, reason, scope="row"),
        tag("td", p.family, class_="family"),
        tag("td", sign, words(p.outcome), class_="outcome"),
        tag("td", str(p.cases or _NOTHING), class_="figure"),
        tag("td", _ratio(p), class_="figure"),
        tag("td", f"{p.seconds:.2f}", class_="figure"),
        data_outcome=p.outcome,
        data_id=p.id,
    )


def _ratio(p: PropertyRecord) -> str:
    worst = p.worst_error_over_bound
    # A property may fail for something other than a size, such as a missing gradient; its ratio then says nothing.
    if worst is None or (p.outcome == "fail" and worst <= 1):
        return _NOTHING
    return f"{worst:.2g}"
