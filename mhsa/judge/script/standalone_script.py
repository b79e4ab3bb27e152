"""A stand-alone script of one failure, for a bug report: torch and the subject only, every number written out."""

from __future__ import annotations

import functools
from pathlib import Path

from mhsa.judge.script.module_call import call_lines, is_called_through, why_called_through
from mhsa.judge.script.named_subject import import_lines
from mhsa.judge.script.recorded_calls import RecordedCall, called_function
from mhsa.judge.script.written_tensors import wrapped
from mhsa.records.errors import SubjectError
from mhsa.records.request import Request
from mhsa.subject.adapters.function_adapter import FunctionAdapter
from mhsa.subject.adapters.module_adapter import ModuleAdapter
from mhsa.subject.adapters.torch_adapter import TorchAdapter
from mhsa.subject.subject import Subject

_MOST_CALLS = 4  # a longer script is not read


def write_script(
    path: Path, request: Request, subject: Subject, identity: str, summary: str, message: str, calls: list[RecordedCall]
) -> None:
    """Write the script of the first call that is wrong, or of the first few where none is by itself.

    Raises:
        SubjectError: the subject cannot be named in a script.
    """
    if identity.startswith("dropout."):
        raise SubjectError("the property is about many random numbers, and no script of a few calls can show that")
    wrong = [call for call in calls if call.wrong][:1]
    chosen = wrong or calls[:_MOST_CALLS]
    if any(isinstance(called_function(call), functools.partial) for call in chosen):
        raise SubjectError("an argument of the function that is not at its default is shown by no script yet")
    if any(call.case.bias != "none" for call in chosen):
        raise SubjectError("the property gives a bias, and no script shows one yet")
    if isinstance(subject.adapter, ModuleAdapter) and subject.adapter.other_widths:
        raise SubjectError("inputs of another width than d_model are shown by no script yet")
    if not chosen:
        raise SubjectError("the property makes no call of the subject that a script could show")
    inside = is_called_through(subject.adapter)
    known = not inside and isinstance(subject.adapter, (ModuleAdapter, TorchAdapter, FunctionAdapter))
    why = why_called_through(subject.adapter)
    with_adapter = f"mhsa, to {why}." if inside else "its mhsa.Adapter."
    needs = "Needs torch and the subject only." if known else f"Needs torch, the subject and {with_adapter}"
    about = f"{request.spec}: {summary}\n\nObserved: {message}\nProperty: {identity} of mhsa. {needs}"
    if not wrong:
        about += "\nEach call by itself is right within rounding; the property compares them, or what is around them."
    parts = [f'"""{wrapped(about)}\n"""', *import_lines(request, subject), ""]
    if inside:
        parts[-1:] = ["from mhsa.introspect.resolve import understand", "from mhsa.records.request import Request", ""]
    for n, call in enumerate(chosen):
        parts += call_lines(call.subject or subject, request, call, n if len(chosen) > 1 else None)
    path.write_text("\n".join(parts) + "\n", encoding="utf-8")
