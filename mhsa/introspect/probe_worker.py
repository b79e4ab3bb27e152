"""The process of ``mhsa probe``: loads a subject, understands it, and says how; no property runs."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from mhsa.introspect.questions import load_under
from mhsa.records.errors import SubjectError
from mhsa.records.facts import jsonable
from mhsa.records.request import read_requests
from mhsa.run.process_limits import end_with_parent, limit_memory
from mhsa.subject.guard import treat_interrupt_as_violation


def main(folder: Path, memory: int) -> None:
    """Read ``requests.json`` in a folder, and write ``answer.json`` there: one line, which ends the process."""
    end_with_parent()
    treat_interrupt_as_violation()
    sys.dont_write_bytecode = True
    limit_memory(memory or None)
    (request,) = read_requests(folder / "requests.json")
    loaded = load_under(request)
    subject, question = loaded.subject, loaded.question
    answer: dict[str, Any] = {
        "question": question is not None,
        "reason": str(question or (subject if isinstance(subject, SubjectError) else "")),
        "declaration": {} if question is None else question.declaration,
        "reading": [], "notes": [], "not_judged": [], "place": None,
    }  # fmt: skip
    if not isinstance(subject, SubjectError):
        answer |= {"reading": [asdict(part) for part in subject.understood], "notes": list(subject.notes)}
        answer |= {"not_judged": list(subject.not_judged), "place": subject.place}
    (folder / "answer.json").write_text(json.dumps(jsonable(answer)) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
