"""A module around one ``nn.MultiheadAttention``, or a subclass with a forward of its own: does it keep torch's conventions?

Names do not tell. Such a wrapper often passes a mask through as it comes, and in torch True hides; or it leaves the time
axis first. What torch's module does is known, so the readings are few, and on sizes that all differ an exact fit with the
oracle is no accident. A fit that differs from the usual reading is asked about: its author knows which one is meant.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from torch import Tensor, nn

from mhsa.introspect.adapter_sketch import asked, describe_call
from mhsa.introspect.torch_attention import TorchModuleAdapter
from mhsa.records.case import Case, Tie
from mhsa.records.contract import Contract, MaskShape
from mhsa.records.errors import Question
from mhsa.records.request import Request
from mhsa.subject import check
from mhsa.subject.adapter import Adapter, ModuleAdapter
from mhsa.subject.answer import Answer
from mhsa.subject.parameter_layout import Sizes
from mhsa.subject.subject import Subject
from mhsa.subject.trial import Trial

_NAN = "https://github.com/pytorch/pytorch/issues/41508"  # why torch gives NaN to a query without any allowed key
_SEEDS = (0, 1, 2)  # of the masks that are tried; one alone may hide the same whichever way it is read


@dataclass(frozen=True)
class Reading:
    """One way in which a wrapper may be called.

    Attributes:
        time_first: query is [Tq, B, d_model], key and value alike.
        mask: what True means in the mask that the wrapper is given.
        shape: of that mask; empty for [B * head, Tq, Tk].
    """

    time_first: bool = False
    mask: str = "allowed"
    shape: MaskShape | str = ""


class _Read(Adapter):
    """A wrapper called by a reading; everything else is as it was understood."""

    def __init__(self, base: ModuleAdapter, reading: Reading) -> None:
        self.base, self.reading = base, reading
        self.inputs, self.takes_mask, self.sizes = base.inputs, base.takes_mask, base.sizes
        self.weights_on_request = base.weights_on_request

    def build(self, head: int, d_model: int) -> nn.Module:
        return self.base.build(head, d_model)

    def call(
        self, module: nn.Module, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, *more: Any, **named: Any
    ) -> Any:  # fmt: skip
        if mask is not None and not self.reading.shape:
            inner = within(module)
            mask = mask.repeat_interleave(1 if inner is None else inner.num_heads, dim=0)
        if self.reading.time_first:
            query, key, value = (x.transpose(0, 1) for x in (query, key, value))
        result = self.base.call(module, query, key, value, mask, *more, **named)
        if not self.reading.time_first:
            return result
        first, *rest = result if isinstance(result, (tuple, list)) else (result,)
        return (first.transpose(0, 1), *rest)


def within(module: nn.Module) -> nn.MultiheadAttention | None:
    """Return the one ``nn.MultiheadAttention`` that a module is or has, if it has no parameters beside that."""
    found = [part for part in module.modules() if isinstance(part, nn.MultiheadAttention)]
    if len(found) != 1 or {id(p) for p in module.parameters()} != {id(p) for p in found[0].parameters()}:
        return None
    return found[0]


def ask_about_wrapper(subject: Subject, module: nn.Module, request: Request, target: Any) -> None:
    """Compare a wrapper with the oracle, in the usual reading and then in those that torch's conventions lead to.

    Raises:
        Question: the usual reading does not fit, and another one does.
    """
    adapter, contract = subject.adapter, subject.contract
    if not isinstance(adapter, ModuleAdapter) or isinstance(adapter, TorchModuleAdapter) or within(module) is None:
        return
    usual = Reading(mask=contract.mask, shape=contract.mask_shape or "[B, Tq, Tk]")
    time_first = not _fits(subject, usual, masked=False)
    if time_first and not _fits(subject, replace(usual, time_first=True), masked=False):
        return  # something else is wrong, which the properties will tell
    masked = adapter.takes_mask
    readings = _readings(replace(usual, time_first=time_first), declared="mask" in request.contract) if masked else iter(())
    read = next((r for r in readings if _fits(subject, r, masked=True)), replace(usual, time_first=time_first))
    if read == usual:
        return
    fields = _declaration(subject, read)
    # Another layout, or masks for each head, need an adapter.
    if not read.time_first and read.shape:
        raise Question(_head(usual, read), fields)
    raise Question("\n".join([asked(_head(usual, read)), *_adapter(subject, read, fields, request, target)]))


def _readings(usual: Reading, *, declared: bool) -> Iterator[Reading]:
    """Yield the usual reading and what torch's conventions make of it; a meaning that was declared stays."""
    for mask in (usual.mask,) if declared or usual.mask == "additive" else (usual.mask, "blocked"):
        yield from (replace(usual, mask=mask), replace(usual, mask=mask, shape="[B, Tk]"), replace(usual, mask=mask, shape=""))


def _as_read(subject: Subject, reading: Reading) -> Subject:
    assert isinstance(subject.adapter, ModuleAdapter)
    adapter = _Read(subject.adapter, reading)
    shape: Any = reading.shape or "[B, Tq, Tk]"
    meaning: Any = reading.mask
    contract: Contract = replace(subject.contract, mask=meaning, mask_shape=shape)
    return replace(
        subject, adapter=adapter, contract=contract, caller=replace(subject.caller, adapter=adapter, contract=contract)
    )


def _ask(subject: Subject, mask: str, seed: int, *, hide: bool = False) -> Answer | None:
    """Return the answer to a case; with ``hide`` its mask hides the first sample. None where the call raises."""
    sizes = subject.adapter.sizes
    plain = Sizes(head=4, d_k=5) if sizes is None else Sizes(sizes[0], sizes[1] // sizes[0])
    tied: Tie = subject.ties[0]
    keys = 3 if tied == "all" else 6
    case = Case("float64", 2, plain.head, 3, keys, plain.d_k, data="normal", mask=mask, tie=tied, seed=seed)
    try:
        trial = Trial(subject, case, counted=False)
        if hide and trial.mask is not None:
            trial.mask[0] = False
        return trial()
    except check.Violation:
        return None


def _fits(subject: Subject, reading: Reading, *, masked: bool) -> bool:
    """Whether the output is the oracle's, on every case that is tried."""
    read = _as_read(subject, reading)
    kind = "none" if not masked else "padding" if reading.shape == "[B, Tk]" else "random"
    for seed in _SEEDS:
        answer = _ask(read, kind, seed)
        if answer is None:
            return False
        required = answer.expected.output
        if not bool((np.abs(answer.output - required.value) <= required.error).all()):
            return False
    return True


def _has_nan(subject: Subject, reading: Reading) -> bool:
    """Whether queries without any allowed key get NaN: those of a whole sample, which every shape of a mask can hide."""
    answer = _ask(_as_read(subject, reading), "all", 0, hide=True)
    return answer is not None and bool(np.isnan(answer.output).any())


def _head(usual: Reading, read: Reading) -> str:
    """Return what was seen, and the reading that explains it."""
    found = []
    if read.time_first:
        found.append("takes time first, [T, B, d_model]")
    if read.mask != usual.mask:
        found.append("hides what a mask marks with True, as torch does")
    if read.shape != usual.shape:
        found.append(f"takes masks {read.shape or '[B * head, Tq, Tk]'}")
    return f"it holds an nn.MultiheadAttention, and is exactly right if it {' and '.join(found)}; else it is not"


def _declaration(subject: Subject, read: Reading) -> dict[str, str]:
    """Return the fields of the contract that say so."""
    fields: dict[str, str] = {} if read.mask == "allowed" else {"mask": read.mask}
    if read.shape not in ("", "[B, Tq, Tk]"):
        fields["mask_shape"] = str(read.shape)
    if subject.adapter.takes_mask and _has_nan(subject, read):
        fields |= {"fully_masked_row": "nan", "reason": _NAN}
    return fields


def _adapter(subject: Subject, read: Reading, fields: dict[str, str], request: Request, target: Any) -> list[str]:
    """Return the lines of an adapter that says so."""
    assert isinstance(subject.adapter, ModuleAdapter)
    module = subject.adapter.build(*(subject.adapter.sizes or (4, 20)))
    name = next(name for name, part in module.named_modules() if isinstance(part, nn.MultiheadAttention))
    owner = f"module.{name}".rstrip(".")
    before = []
    if not read.shape and subject.adapter.takes_mask:
        before = ["if mask is not None:", f"    mask = mask.repeat_interleave({owner}.num_heads, dim=0)"]
    if read.time_first:
        before.append("query, key, value = (x.transpose(0, 1) for x in (query, key, value))")
    output = f"output{'[0]' * _gives_several(subject, read)}.transpose(0, 1)" if read.time_first else "output"
    return describe_call(subject.adapter, request, target, fields, before, output)


def _gives_several(subject: Subject, read: Reading) -> bool:
    """Whether it returns more than the output."""
    answers: list[Any] = []

    class Spy(_Read):
        def call(self, *given: Any, **named: Any) -> Any:
            answers.append(super().call(*given, **named))
            return answers[-1]

    assert isinstance(subject.adapter, ModuleAdapter)
    spy = Spy(subject.adapter, read)
    _ask(replace(subject, adapter=spy, caller=replace(subject.caller, adapter=spy)), "none", 0)
    return bool(answers) and len(answers[-1]) > 1
