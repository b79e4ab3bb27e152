"""HTML that is escaped unless it says otherwise: names, messages and source lines of a subject are hostile input."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable


class Markup(str):
    """Text that is HTML already; every other string is escaped where it is put into an element."""

    __slots__ = ()


Child = Markup | str | int | None

_VOID = {"input", "wbr"}
# Controls would vanish or end a line; marks of direction could show a line of source in another order than it is read in;
# half a surrogate pair, which a file name may hold, cannot be written as UTF-8.
_CONTROLS = [*range(0x09), 0x0B, 0x0C, *range(0x0E, 0x20), *range(0x7F, 0xA0)]
_DIRECTIONS = [0x061C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A)]
_VISIBLE = {code: f"\\x{code:02x}" for code in _CONTROLS} | {code: f"\\u{code:04x}" for code in _DIRECTIONS}
_HALVES = dict.fromkeys(range(0xD800, 0xE000), "\N{REPLACEMENT CHARACTER}")
_REPLACED = _VISIBLE | _HALVES


def escape(text: object) -> Markup:
    """Return text as HTML that shows it, whatever it holds; markup stays as it is."""
    return text if isinstance(text, Markup) else Markup(html.escape(str(text).translate(_REPLACED)))


def join(children: Iterable[Child]) -> Markup:
    """Return children one after the other; None is nothing."""
    return Markup("".join(escape(child) for child in children if child is not None))


def tag(element: str, /, *children: Child, **attributes: str | int | float | bool | None) -> Markup:
    """Return an element.

    Args:
        element: its name.
        children: its content; plain strings are escaped.
        attributes: ``class_`` and ``aria_label`` stand for class and aria-label; True is an attribute without a value,
            None and False leave it out.
    """
    words = [element]
    for name, value in attributes.items():
        key = name.rstrip("_").replace("_", "-")
        if value is True:
            words.append(key)
        elif value is not None and value is not False:
            words.append(f'{key}="{escape(value)}"')
    opening = f"<{' '.join(words)}>"
    return Markup(opening if element in _VOID else f"{opening}{join(children)}</{element}>")


def definitions(rows: Iterable[tuple[str, Child]]) -> Markup:
    """Return a list of terms and what is said of each; a row without content is left out."""
    return tag("dl", *(tag("div", tag("dt", term), tag("dd", words)) for term, words in rows if words not in (None, "")))


def command(text: str) -> Markup:
    """Return lines of code that are folded between their words only, so that no option is torn from its dashes."""
    lines = [" ".join(tag("span", breakable(word)) for word in line.split(" ")) for line in text.split("\n")]
    return tag("pre", tag("code", Markup("\n".join(lines))), class_="command")


def breakable(text: str) -> Markup:
    """Return text whose ids and paths may be folded after dots, underscores and slashes; numbers stay whole."""
    return Markup(re.sub(r"(?<=\w)([._/])(?=[^\W\d])", r"\1<wbr>", escape(text)))


def scrolling(name: str, *children: Child, class_: str = "scroll") -> Markup:
    """Return a box that scrolls within itself, by keyboard too, so that the page never does sideways."""
    return tag("div", *children, class_=class_, role="region", aria_label=name, tabindex=0)
