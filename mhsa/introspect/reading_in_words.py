"""How a subject is read, part by part, and how each part is known: for people, and to be pinned in a contract."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from mhsa.introspect.declared_contract import declared_of, different
from mhsa.records.contract import Contract
from mhsa.records.declarations import canonical
from mhsa.records.understood import Known, Understood
from mhsa.subject.adapters.function_adapter import FunctionAdapter
from mhsa.subject.adapters.module_adapter import ModuleAdapter
from mhsa.subject.adapters.torch_adapter import TorchAdapter
from mhsa.subject.subject import Subject

_MEANINGS = {
    "allowed": "True may attend",
    "blocked": "True may not attend",
    "additive": "0 may attend and -inf may not",
    "lengths": "the number of keys that may be attended to",
}
_KINDS = {"additive": "floating", "lengths": "whole numbers"}
_ROWS = {
    "zeros": "a row with no allowed key has zero weights",
    "uniform": "a row with no allowed key has weights 1 / Tk",
    "zero-output": "a row with no allowed key has zero output",
    "finite": "a row with no allowed key has some finite output; its value is not judged",
    "nan": "a row with no allowed key has NaN",
    "raises": "a call with a row with no allowed key is refused with an error",
    None: "a row with no allowed key has no finite output",
}


def understood_of(subject: Subject, configured: Mapping[str, Any], parameters: str) -> tuple[Understood, ...]:
    """Return how a subject is read.

    Args:
        subject: with its contract complete.
        configured: the fields of the contract that the request declares.
        parameters: which are the projections, in words, or empty.
    """
    parts = [Understood("call", subject.adapter.describe(), _call_known(subject))]
    parts += [each for each in subject.understood if each.part != "mask"]
    if subject.contract.formula.words:
        parts.append(Understood("formula", "; ".join(subject.contract.formula.words), "declared"))
    if parameters:
        parts.append(Understood("parameters", parameters, _call_known(subject)))
    if subject.literals:
        drawn = f"also drawn around {', '.join(map(str, subject.literals))}, which stand in the source"
        parts.append(Understood("sizes", drawn))
    declared = _declared(subject, configured)
    if subject.contract.float64_in == "float32":
        words = "is computed in float32 inside, and judged with float32's roundoff"
        parts.append(Understood("float64", words, declared.get("float64_in", "fitted"), {"float64_in": "float32"}))
    if not subject.adapter.takes_mask:
        if said := [each for each in subject.understood if each.part == "mask"]:
            return (*parts, *said)
        left = [f"{n} is left at its default" for n in subject.adapter.not_given if "mask" in n.lower()]
        return (*parts, Understood("mask", f"none is given{': ' if left else ''}{', '.join(left)}"))
    return (*parts, *_of_masks(subject, declared))


def _of_masks(subject: Subject, declared: Mapping[str, Known]) -> list[Understood]:
    contract = subject.contract
    kind = "0 or 1, floating" if subject.caller.float_masks else _KINDS.get(contract.mask or "", "bool")
    always = "; needed: one that allows everything where a case has none" if subject.caller.fills_mask else ""
    shape = declared.get("mask_shape", "fitted")
    read = [each for each in subject.understood if each.part == "mask"]
    meaning = declared.get("mask", read[0].known if read else "default")
    parts = [
        Understood("mask", f"{contract.mask_shape}, {kind}", shape, {"mask_shape": contract.mask_shape}),
        Understood("mask", _MEANINGS[contract.mask or "allowed"] + always, meaning, {"mask": contract.mask}),
    ]
    parts += read[1:]  # of other masks
    row = contract.fully_masked_row
    promised = subject.adapter.contract.fully_masked_row is not None
    if row == "raises" or "fully_masked_row" in subject.masks or promised:
        pinned = {} if row is None else {"fully_masked_row": row} | ({"reason": contract.reason} if row == "nan" else {})
        words = f"{_ROWS[row]}: {contract.reason}" if row == "nan" else _ROWS[row]
        known = declared.get("fully_masked_row", "documented" if promised else "fitted")
        parts.append(Understood("empty rows", words, known, pinned))
    return parts


def _call_known(subject: Subject) -> Known:
    if isinstance(subject.adapter, TorchAdapter):
        return "documented"
    own = declared_of(subject.adapter) is None or isinstance(subject.adapter, (ModuleAdapter, FunctionAdapter))
    return "named" if own else "declared"


def _declared(subject: Subject, configured: Mapping[str, Any]) -> dict[str, Known]:
    """Return the fields of the contract that are stated: by the user, or in the documentation of a module of torch."""
    stated: dict[str, Known] = {}
    if declared_of(subject.adapter) is None:  # then mhsa's own adapter says it
        base = Contract()
        stated = {
            f.name: "documented" for f in fields(Contract) if getattr(subject.adapter.contract, f.name) != getattr(base, f.name)
        }
    own = different(declared_of(subject.adapter))
    return stated | dict.fromkeys(own, "declared") | dict.fromkeys(canonical(configured), "declared")
