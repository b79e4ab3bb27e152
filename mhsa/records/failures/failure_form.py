"""The form of a failure: what was compared and how it is wrong, or what was raised and where; the same for every seed.

A baseline keeps it. No numbers and no lines go into it, and no names that the drawn case chooses (which gradient, which head),
so the same bug has one form on another machine, with another version of torch, and after an edit elsewhere in the file. NaN and
infinity are not forms of their own: a softmax that overflows gives wrong numbers with one seed and NaN with another.
"""

from __future__ import annotations

import re
import sysconfig
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ENDS = "ends the process"
_ENDED = re.compile(r"the process (was killed|ended)|the worker process died")
_ROLE = re.compile(r"^(query|key|value|out|mask)\b")


def form_of(reason: str, facts: Mapping[str, Any] | None) -> str:
    """Return the form of a failure in a few words, such as "output differs"; empty where it is not known.

    Args:
        reason: the failure in one line.
        facts: those of :class:`mhsa.subject.check.Violation`, or None where a process ended.
    """
    if not facts or "what" not in facts:
        return ENDS if _ENDED.search(reason) else ""
    if facts.get("raised"):
        return f"raises {facts['raised']}"
    noun, observed, required = _noun(str(facts["what"])), facts.get("observed"), facts.get("required")
    if "where" in facts:
        return f"{noun} differs"
    if isinstance(observed, list) and isinstance(required, list):
        return f"{noun} has another shape"
    return f"{noun} is wrong"


def _noun(what: str) -> str:
    """Return what was compared, without what the case decides."""
    if "gradient" in what or "derivative" in what:
        return "gradient"
    if what.startswith("output"):
        return "output"
    if _ROLE.search(what):
        return "parameter" if re.match(r"(out|\w+\.(weight|bias))\b", what) else "argument"
    if "weights" in what:
        return "weight"
    return re.sub(r" \d+(\.\d+)?\b", "", what)


def raised(error: BaseException) -> str:
    """Return the type of an error and the function of the subject that raised it: "RuntimeError in forward".

    What a library raises on the way is the doing of the function that called it: of the last one that is neither torch's nor
    Python's own. Where all are (torch's own module, say), it is the last one of all.
    """
    name = type(error).__name__
    codes = [frame.f_code for frame, _ in traceback.walk_tb(error.__traceback__)]
    codes = [code for code in codes if not code.co_filename.startswith(("<", _OURS))]
    own = [code for code in codes if not is_library(code.co_filename)]
    return f"{name} in {(own or codes)[-1].co_name}" if codes else name


_OURS = str(Path(__file__).parents[1])
_PYTHONS_OWN = sysconfig.get_path("stdlib")


def is_library(file: str) -> bool:
    """Whether a file is of torch or of Python itself."""
    if "site-packages" in Path(file).parts or "dist-packages" in Path(file).parts:
        return "torch" in Path(file).parts
    return file.startswith(_PYTHONS_OWN)
