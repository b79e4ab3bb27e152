"""The process that compares subjects with known bugs: requests come as lines of JSON, answers go to a file.

``mhsa verify`` starts it at the first failure, and names each subject that fails, so that most of the work is done by the time
the properties are through; the subject's own failing cases come last. Nothing that a subject does here, a crash included,
reaches the process that reports.
"""

from __future__ import annotations

import functools
import json
import sys
import warnings
from pathlib import Path
from typing import Any

from mhsa.bugs.diagnosis.compared_cases import cases_for, finely
from mhsa.bugs.diagnosis.equivalence import Equivalence
from mhsa.bugs.diagnosis.match import compare, refine
from mhsa.bugs.diagnosis.quantity import ASPECTS
from mhsa.bugs.diagnosis.weights_picture import portrait
from mhsa.introspect.questions import load_under
from mhsa.records.case import Case
from mhsa.records.errors import SubjectError, describe
from mhsa.records.request import Request
from mhsa.run.process_limits import end_with_parent, limit_memory
from mhsa.subject import check
from mhsa.subject.subject import Subject
from mhsa.subject.torch_settings import restored


def main() -> None:
    """Answer every request that has ``cases``, one line each, in order; others only begin the comparison of a subject."""
    answers = Path(sys.argv[1])
    end_with_parent()
    limit_memory(int(sys.argv[2]))
    warnings.simplefilter("ignore")
    for line in sys.stdin:
        request = json.loads(line)
        with restored():
            answer = _answer(request)
        if "cases" in request:
            with answers.open("a") as file:
                file.write(json.dumps(answer) + "\n")


@functools.cache
def _begin(request: str) -> tuple[Subject, Equivalence]:
    loaded = load_under(Request.of_dict(json.loads(request))).subject  # as it was judged: under what a question declares
    if isinstance(loaded, SubjectError):
        raise loaded
    subject = finely(loaded)
    return subject, compare(subject)


def _answer(request: dict[str, Any]) -> dict[str, Any]:
    try:
        subject, result = _begin(json.dumps(request["request"]))
        own = [Case(**case) for case in request.get("cases", ()) if case["dtype"] == subject.dtypes[0]]
        result = refine(subject, result, own)
        picture = portrait(subject) if request.get("picture") else None
    except (SubjectError, check.Violation) as error:
        return {"error": str(error)}
    except Exception as error:
        return {"error": describe(error)}
    return {
        "matches": [[match.name, match.value] for match in result.matches],
        "words": {match.name: match.words for match in result.matches if match.words},
        "cases": result.cases,
        "wrong": result.wrong,
        "left": _left(result),
        "aspects": sorted(result.aspects),
        "site": result.site,
        "size": subject.adapter.sizes,
        "dtype": cases_for(subject)[0].dtype,
        "asked": request["request"]["dtypes"],
        "picture": picture,
    }


def _left(result: Equivalence) -> list[str]:
    """What the claim does not cover."""
    left = [] if result.claim.scope == "all" else ["fully masked rows"]
    return left + [aspect for aspect in ASPECTS if aspect not in result.claim.aspects]


if __name__ == "__main__":
    main()
