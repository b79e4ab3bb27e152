"""Co-attention of two streams: one direction is judged, the queries of the first stream; the other is compared with the oracle.

Where the other is not exactly attention, it is judged instead, so that what is wrong with it is seen.
"""

from __future__ import annotations

import contextlib
import copy
import itertools
from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor, nn

from mhsa.introspect.calls.find_mask_shape import forms_of_mask
from mhsa.introspect.readings.fit import SEEDS, Fit
from mhsa.records.errors import Question, SubjectError
from mhsa.records.understood import Understood
from mhsa.subject.adapters.adapter import Adapter, in_eval_mode
from mhsa.subject.adapters.module_adapter import ModuleAdapter
from mhsa.subject.built.set_apart import freeze
from mhsa.subject.caller import Caller
from mhsa.subject.generic_inputs import first_sizes, generic_tensors
from mhsa.subject.signature import Signature
from mhsa.subject.subject import Subject


def read_two_streams(adapter: Adapter, read: Callable[[Adapter], Subject]) -> Subject:
    """Return what ``read`` gives for the direction that is to be judged: the first one, or the other where only that is wrong.

    Raises:
        SubjectError: what ``read`` raises for the first direction.
    """
    signature = adapter.signature if isinstance(adapter, ModuleAdapter) else None
    if signature is None or not signature.guessed or signature.value is not None or signature.key is None:
        return read(adapter)
    first, error = _try(adapter, read)
    assert isinstance(adapter, ModuleAdapter)
    if (first is not None and first.caller.returns < 2) or not _returns_both(adapter):
        return _given(first, error)
    if not signature.co_attention:
        adapter = adapter.with_signature(replace(signature, co_attention=True, guessed=False))
        first, error = _try(adapter, read)
    here, there = (f"the direction in which {q} attends to {k}" for q, k in _both(signature))
    asked = isinstance(error, Question) and bool(error.declaration)
    if not asked and (first is None or not _fits(first)):
        return _given(first, error)
    second, other = _try(adapter.with_signature(_turned(adapter.signature)), read)
    if second is not None and not _fits(second):
        return replace(second, not_judged=(*second.not_judged, here))
    if first is None:
        return _given(first, error)
    if isinstance(other, Question) and other.declaration:
        raise other
    if second is None:
        return replace(first, not_judged=(*first.not_judged, there))
    text = f"{there} is exactly attention, too, on {len(SEEDS)} inputs that were tried"
    said = Understood("roles", text, "fitted")
    return replace(first, understood=(*first.understood, said), not_judged=(*first.not_judged, there))


def without_other_direction(adapter: ModuleAdapter, caller: Caller, module: nn.Module) -> ModuleAdapter:
    """Return the adapter that freezes, in what it builds, the parameters that only the other direction depends on.

    Those of ``module``, which it has built, are frozen, too. What neither output depends on is none of them.
    """
    items = _returned(adapter, caller, module)
    outputs = [x for x in items if isinstance(x, Tensor) and x.dim() == 3 and x.requires_grad]
    own = items[caller.output_from] if caller.output_from < len(items) else None
    if len(outputs) < 2 or not any(x is own for x in outputs):
        return adapter
    used, other = (_used(module, [x for x in outputs if (x is own) == mine]) for mine in (True, False))
    found = copy.copy(adapter)
    found.apart = frozenset(other - used)
    freeze(module, found.apart)
    return found


def _returned(adapter: ModuleAdapter, caller: Caller, module: nn.Module) -> list[object]:
    """Return what a call returns that gives two sequences, with as many tokens in both streams where others raise."""
    query, key, value = generic_tensors(adapter)
    anew = Caller(adapter, adapter.contract, fills_mask=True)
    with_masks = forms_of_mask(anew) if adapter.takes_mask else []
    for tokens, called in itertools.product((query, key), (caller, *with_masks)):
        with contextlib.suppress(Exception):  # the properties will raise it again and report it
            items: list[object] = called.items(module, tokens, key, value, None)
            outer = [(x.size(0), x.size(-1)) for x in items if isinstance(x, Tensor) and x.dim() == 3]
            if outer.count((query.size(0), query.size(-1))) > 1:
                return items
    return []


def _used(module: nn.Module, outputs: list[Tensor]) -> set[str]:
    """Return the parameters that outputs depend on."""
    parameters = {path: p for path, p in module.named_parameters(remove_duplicate=False) if p.requires_grad}
    total = torch.stack([x.sum() for x in outputs]).sum()
    found = torch.autograd.grad(total, list(parameters.values()), allow_unused=True, retain_graph=True)
    return {path for path, gradient in zip(parameters, found, strict=True) if gradient is not None}


def _try(adapter: Adapter, read: Callable[[Adapter], Subject]) -> tuple[Subject | None, SubjectError | None]:
    try:
        return read(adapter), None
    except SubjectError as error:
        return None, error


def _given(subject: Subject | None, error: SubjectError | None) -> Subject:
    if error is not None:
        raise error
    assert subject is not None
    return subject


def _both(signature: Signature) -> tuple[tuple[str, str], tuple[str, str]]:
    query, key = signature.query, str(signature.key)
    return (query, key), (key, query)


def _turned(signature: Signature) -> Signature:
    """Return the call in the other direction: query and key change places, and so do the masks of the two streams."""
    turned = replace(signature, query=str(signature.key), key=signature.query, guessed=False)
    if signature.streams is None:
        return turned
    of_query, of_key = signature.streams
    others = tuple(of_key if name == of_query else name for name in signature.other_masks)
    left = tuple(of_key if name == of_query else name for name in signature.not_given)
    required = of_key if signature.stream_mask else ""
    return replace(
        turned, mask=of_query, other_masks=others, not_given=left, streams=(of_key, of_query), stream_mask=required
    )  # fmt: skip


def _returns_both(adapter: ModuleAdapter) -> bool:
    """Whether a call gives an output of as many rows as there are queries, and one of as many as there are keys."""
    sizes = first_sizes(adapter)
    query, key, _ = generic_tensors(adapter)
    items: list[object] = []
    with contextlib.suppress(Exception), torch.no_grad():  # building says what is wrong
        module = in_eval_mode(adapter.build(sizes.head, sizes.d_model).double())
        items = _returned(adapter, Caller(adapter, adapter.contract), module)
    rows = [x.shape[:2] for x in items if isinstance(x, Tensor) and x.dim() == 3]
    return (query.shape[:2] in rows and key.shape[:2] in rows) or rows.count(key.shape[:2]) > 1


def _fits(subject: Subject) -> bool:
    """Whether it is exactly attention, without a mask and with one."""
    fit, on_cpu = Fit(), replace(subject, device="cpu")
    return (subject.caller.fills_mask or fit.without_mask(on_cpu)) and (not subject.adapter.takes_mask or fit.with_mask(on_cpu))
