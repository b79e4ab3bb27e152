"""Where a subject returns the log-sum-exp of each row: by the shape where it is declared, and else by an exact fit."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import get_args

import torch
from torch import Tensor, nn

from mhsa.introspect.calls.call_with_mask import call_with_mask
from mhsa.oracle.formula.fields import Lse
from mhsa.records.errors import Question
from mhsa.records.understood import Understood
from mhsa.subject.caller import Caller
from mhsa.subject.docstrings.passages import documented, lines_of
from mhsa.subject.generic_inputs import generic_tensors, is_exact
from mhsa.subject.parameter_layout import Sizes
from mhsa.subject.returned import LSE_FORMS
from mhsa.subject.subject import Subject

_SAID = re.compile(r"(?<![a-z])lse(?![a-z])|log[-_ ]?sum[-_ ]?exp", re.IGNORECASE)


def find_lse(subject: Subject, module: nn.Module, sizes: Sizes) -> Subject:
    """Return the subject, which takes the log-sum-exp from its place if it returns one.

    Args:
        subject: understood but for that, on the CPU.
        module: of generic sizes, float64 and in eval mode.
        sizes: of the module.

    Raises:
        Question: one is declared, and nothing that is returned has its shape; or it is said that one is returned, and what has
            its shape is none.
    """
    declared = subject.contract.lse
    callers = list(_callers(subject.caller, module, sizes))
    if declared is not None:
        if not callers:
            raise Question(
                f'{subject.name}: lse = "{declared}" is declared, but applies to nothing: no value that is returned has one '
                "number for each sample, head and query. Remove it, or return it next to the output",
                unused="contract.lse",
            )
        return _understood(subject, callers[0], declared, "declared")
    for caller in callers:
        for kind in get_args(get_args(Lse)[0]):
            found = _understood(subject, caller, kind, "fitted")
            answer = call_with_mask(found, "none")
            if answer is None or answer.lse is None or answer.expected.lse is None:
                continue
            if is_exact(answer.lse, answer.expected.lse):
                return found
    if callers and _SAID.search(_words(subject)):
        at = (callers[0].lse_from or 0) + 1
        raise Question(
            "its name or docstring speaks of a log-sum-exp, and of the values that it returns "
            f"number {at} has one for each sample, head and query, which is none, natural or to base 2",
            {"lse": "natural"},
        )
    return subject


def _words(subject: Subject) -> str:
    """Return its name and its docstrings."""
    names = [getattr(owner, "__name__", "") for owner in documented(subject.adapter)]
    return "\n".join([*names, *lines_of(subject.adapter)])


def _understood(subject: Subject, caller: Caller, kind: Lse, known: str) -> Subject:
    contract = replace(subject.contract, lse=kind)
    caller = replace(caller, contract=contract)
    log = "natural logarithm" if kind == "natural" else "logarithm to base 2"
    text = f"value {(caller.lse_from or 0) + 1} of {caller.returns} returned ({log}), [{', '.join(caller.lse_form)}]"
    part = Understood("log-sum-exp", text, known, {"lse": kind})  # type: ignore[arg-type]
    return replace(subject, contract=contract, caller=caller, understood=(*subject.understood, part))


def _callers(caller: Caller, module: nn.Module, sizes: Sizes) -> Iterator[Caller]:
    """Yield callers that take a value with one number for each sample, head and query, in the order of usual forms."""
    query, key, value = generic_tensors(caller.adapter)
    of = {"B": len(query), "H": sizes.head, "Tq": query.size(1), "B*H": len(query) * sizes.head, "1": 1}
    try:
        with torch.no_grad():
            items = caller.items(module, query, key, value, None)
    except Exception:  # the properties will raise it again and report it
        return
    for form in LSE_FORMS:
        for at, item in enumerate(items):
            if at in (caller.output_from, caller.weights_from) or not isinstance(item, Tensor):
                continue
            if list(item.shape) == [of[axis] for axis in form] and item.is_floating_point():
                yield replace(caller, lse_from=at, lse_form=form, returns=len(items))
