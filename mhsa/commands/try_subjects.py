"""Whether subjects can be imported, built and called: tried as ``mhsa verify`` does it, in a process of its own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mhsa.commands.frame import interrupted_by_sigterm
from mhsa.records.errors import UsageError
from mhsa.records.options import Options
from mhsa.records.request import Request
from mhsa.records.results import SubjectResult
from mhsa.run.process_limits import default_memory

# A subject is loaded before its first property, and pytest runs nothing without one: this one applies to every subject, and is
# over in a fraction of a second. What comes of it is for mhsa verify to say.
_PROPERTY = "oracle.output_without_mask"


def look(specs: Sequence[str]) -> list[SubjectResult]:
    """Return how each subject was understood, or its ``reason`` why it was not; raise a UsageError if that is not known."""
    from mhsa.run.runner import CannotRun, Interrupted, run

    here = str(Path.cwd())  # modules are imported from here and from src, as of a subject that is configured here
    requests = tuple(Request.of(spec, folder=here) for spec in specs)
    options = Options(requests=requests, keyword=_PROPERTY, exit_first=True, shrink=False, memory=default_memory())
    try:
        with interrupted_by_sigterm():
            return run(options)
    except Interrupted:
        raise UsageError("interrupted; nothing was written") from None
    except CannotRun as error:
        raise UsageError(f"{error}; nothing was written") from error
