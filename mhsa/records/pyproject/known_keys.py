"""The keys of ``[tool.mhsa]``, and the kind of value that each of them has."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from mhsa.records.defaults import DTYPES, PROFILES
from mhsa.records.pyproject.memory_size import size
from mhsa.records.request import PLAIN, is_plain


@dataclass(frozen=True)
class ValueKind:
    """A kind of value: its description, whether something is one, and the names that can be mistyped."""

    words: str
    fits: Callable[[Any], bool]
    names: tuple[str, ...] = ()

    def nearest(self, value: Any) -> str:
        """Return a hint at the name that may have been meant."""
        given = value if isinstance(value, list) else [value]
        wrong = [x for x in given if isinstance(x, str) and x not in self.names]
        near = difflib.get_close_matches(wrong[0], self.names, n=1) if wrong else []
        return f"; did you mean {near[0]}?" if near else ""


def _one_of(names: Mapping[str, Any] | tuple[str, ...]) -> ValueKind:
    return ValueKind(f"one of {', '.join(names)}", lambda x: isinstance(x, str) and x in names, tuple(names))


_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
TEXT = ValueKind("a text of one line", lambda x: isinstance(x, str) and bool(x) and not _CONTROL.search(x))
_TABLE = ValueKind("a table", lambda x: isinstance(x, dict))
_ARGUMENTS = ValueKind(f"a table of {PLAIN}", lambda x: isinstance(x, dict) and is_plain(x))
_LIST = ValueKind("a list of tables", lambda x: isinstance(x, list) and all(isinstance(e, dict) for e in x))
EFFORT = {
    "profile": _one_of(PROFILES),
    "seed": ValueKind("a whole number of at least 0", lambda x: type(x) is int and x >= 0),
    "dtypes": ValueKind(
        f"a list of {', '.join(DTYPES)}", lambda x: isinstance(x, list) and bool(x) and all(d in DTYPES for d in x), DTYPES
    ),
    "device": TEXT,
}
TOP = EFFORT | {
    "timeout": ValueKind("a number of seconds above 0", lambda x: type(x) in (int, float) and 0 < x < float("inf")),
    "memory": ValueKind('a size such as "8 GiB"', lambda x: isinstance(x, str) and size(x) is not None),
    "strict": ValueKind("true or false", lambda x: isinstance(x, bool)),
    "cases": TEXT,
    "database": TEXT,
    "subjects": _TABLE,
    "bench": _TABLE,
}
BENCH = {"calls": _LIST}
SUBJECT = EFFORT | {
    "subject": TEXT,
    "build": TEXT,
    "submodule": TEXT,
    "arguments": _ARGUMENTS,
    "contract": _TABLE,
    "expected_failures": _LIST,
    "not_judged": ValueKind("a list of texts", lambda x: isinstance(x, list) and all(isinstance(e, str) and e for e in x)),
    "faster": TEXT,
}
EXPECTED = {
    "property": TEXT,
    "reason": ValueKind("a text", lambda x: isinstance(x, str)),
    "link": TEXT,
    "form": TEXT,
    "cause": TEXT,
}
