"""Comments in the source that are about a mask: on a line with a mask, or right above one."""

from __future__ import annotations

import re
from collections.abc import Iterator

from mhsa.introspect.readings.masks.own_code import own_code
from mhsa.source.written_code import source_of
from mhsa.subject.adapters.adapter import Adapter

_COMMENT = re.compile(r"^(?P<code>[^#]*)#+\s*(?P<said>.*)$")
# Code that is commented out, and arithmetic, say nothing in words.
_CODE = re.compile(r"[\d)\]]\s*[-+*/]|[-+*/]\s*\d|[=!<>]=|\w\(|\w\[|\w\.\w")


def comments_on_masks(adapter: Adapter) -> Iterator[str]:
    """Yield the comments of a class or function, and of what it uses of its file, that are about a mask."""
    for owner in own_code(adapter):
        lines = source_of(owner).splitlines()
        for n, line in enumerate(lines):
            found = _COMMENT.match(line)
            if found is None or _CODE.search(found["said"]):
                continue
            code = found["code"].strip() or next((other for other in lines[n + 1 :] if other.strip()), "")
            if "mask" in code.lower() and not code.lstrip().startswith("#"):
                yield found["said"]
