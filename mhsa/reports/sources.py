"""Where a known bug was reported: what the sources of properties and mutants say, without ids that only their authors know.

The sources also name entries of the list of formal statements and of the bug corpus that the catalogue was made from (A19,
P16); that list is not part of this project, so a reader is shown what can be looked up, and nothing else.
"""

from __future__ import annotations

import re

_REPORT = re.compile(r"(?:[\w.-]+/)?[\w.-]+(?: PR)?#\d+(?:,? (?:and )?#\d+)*")
_ID = r"[AP]\d{1,2}\b"
_IDS = re.compile(rf"(?: of )?\b{_ID}(?:(?:,| with| and) {_ID})*")


def public_reports(census: str) -> str:
    """Return the public reports of a bug, ``owner/name#number``; empty where there is none."""
    return ", ".join(_REPORT.findall(census))


def without_ids(source: str) -> str:
    """Return a source without such ids; empty where it is nothing else."""
    parts = []
    for part in re.sub(rf"; {_ID}\.", ".", source).rstrip(".").split("; "):
        left = _IDS.sub("", part).strip(" ,:")
        if left.startswith("(") and left.find(")") == len(left) - 1:  # which qualified the id
            left = left[1:-1]
        parts += [left] if left else []
    return f"{'; '.join(parts)}." if parts else ""
