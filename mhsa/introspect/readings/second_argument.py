"""A second argument that must be given and whose name says nothing: a sequence to attend to, a mask, or something else."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor, nn

from mhsa.introspect.layers.same import same
from mhsa.introspect.readings.fit import Fit
from mhsa.records.errors import Question, SubjectError
from mhsa.records.names import CONTEXT, KEY, is_called, is_context
from mhsa.records.understood import Understood
from mhsa.subject.adapters.adapter import Adapter
from mhsa.subject.adapters.module_adapter import ModuleAdapter
from mhsa.subject.forms.needless_arguments import NONE
from mhsa.subject.forms.required_switches import is_compared_with_none
from mhsa.subject.generic_inputs import generic_tensors
from mhsa.subject.signature import call_of
from mhsa.subject.subject import Subject


class UnknownArgument(Question):
    """Nothing that was tried with the second argument is attention."""


def read_second_argument(adapter: Adapter, read: Callable[[Adapter], Subject]) -> Subject:
    """Return what ``read`` gives where the second argument is the mask, if that is exactly attention, and else as it is.

    An adjacency matrix of a graph is such an argument: nothing else hides keys, and it comes without a default. Where the
    contract says what a mask means, it is the mask. Where it can be neither, and the source compares it with None, it is None.

    Raises:
        SubjectError: what ``read`` raises.
        UnknownArgument: the second argument is not known by name, and nothing fits.
    """
    name = unknown_second(adapter)
    if name is None:
        return read(adapter)
    assert isinstance(adapter, ModuleAdapter)
    as_mask = adapter.with_signature(replace(adapter.signature, key=None, mask=name, mask_required=True, guessed=False))
    if adapter.contract.mask is not None:
        return read(as_mask)
    takes_masks = True
    try:
        subject = read(as_mask)
    except Question as question:
        if question.declaration:  # under which it is exactly attention
            raise
    except SubjectError:  # it cannot be called so
        takes_masks = False
    else:
        if Fit().with_mask(subject):
            return replace(subject, understood=(*subject.understood, Understood("roles", f"{name} is the mask", "fitted")))
    try:
        return read(adapter)
    except SubjectError as error:
        if not (isinstance(error, Question) and error.declaration) and is_compared_with_none(call_of(adapter.owner), name):
            return read(_without(adapter, name))
        unknown = isinstance(error, UnknownArgument) or (takes_masks and isinstance(error, Question) and not error.declaration)
        if unknown:
            raise UnknownArgument(_words(name), {"mask": "allowed"} if takes_masks else {}) from None
        raise


def _without(adapter: ModuleAdapter, name: str) -> ModuleAdapter:
    """Return the adapter that gives None as an argument, which counts only with an exact fit."""
    asks = (
        f"{adapter.name}.forward needs {name}, and mhsa does not know what to give: it may be None, and then it is not exactly "
        "attention. Describe the call in an mhsa.Adapter (docs/adapters.md)"
    )
    more = {**adapter.signature.more, name: NONE}
    return adapter.with_signature(
        replace(
            adapter.signature, key=None, guessed=False, more=more, asks=asks, not_given=(*adapter.signature.not_given, name)
        )
    )


def ask_about_second(subject: Subject, module: nn.Module) -> None:
    """Ask what the second argument is, where nothing that was tried is attention.

    One that is taken as tokens where the first is a picture, or the other way round, is a sequence to attend to. So is one of
    another number of tokens than the first, in whatever order, of which one alone has a weight of 1: only an attention, right
    or wrong, reads tokens so.

    Raises:
        UnknownArgument: its name does not say that it is another sequence to attend to.
    """
    name = unknown_second(subject.adapter)
    if name is not None and "," not in (subject.contract.layout or "") and not _is_attended_to(subject, module):
        raise UnknownArgument(_words(name))


def _words(name: str) -> str:
    return (
        f"forward needs {name}, and mhsa does not know what to give: with the keys there it is not attention, nor with a "
        "mask. If it is the mask, state what that means; else describe the call in an mhsa.Adapter (docs/adapters.md)"
    )


def _is_attended_to(subject: Subject, module: nn.Module) -> bool:
    """Whether the tokens of the second argument matter in any order, and one alone is the answer to whatever query."""
    query, key, _ = generic_tensors(subject.adapter)
    calls = (
        (query, key),
        (query, key.flip(1)),
        (query, key + key[:, :1]),
        (query, key[:, :1]),
        (query + query[:1], key[:, :1]),
    )
    found = []
    for q, k in calls:
        try:
            with torch.no_grad():
                output = subject.caller(module, q, k, k, None)[0]
        except Exception:  # the properties will meet it again and report it
            return False
        if not isinstance(output, Tensor):
            return False
        found.append(output)
    given, turned, other, alone, another = found
    return query.size(1) != key.size(1) and same(turned, given) and not same(other, given) and same(another, alone)


def unknown_second(adapter: Adapter) -> str | None:
    """Return the name of a second argument that must be given, and is no key by its name."""
    if not isinstance(adapter, ModuleAdapter):
        return None
    signature = adapter.signature
    second = signature.guessed and signature.value is None and signature.mask is None and not signature.key_optional
    if not second or signature.key is None or is_called(signature.key, CONTEXT | KEY) or is_context(signature.key):
        return None
    return signature.key
