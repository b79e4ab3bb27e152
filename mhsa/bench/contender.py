"""What is measured: implementations by name, built with the same numbers, and called with nothing around the call."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from mhsa.bench.floor import Floor, plain_attention
from mhsa.bench.measurement import Contender
from mhsa.bench.shape import Shape
from mhsa.case import Case
from mhsa.subject import Subject
from mhsa.trial import Trial
from mhsa.understanding import understand

SEED = 0  # of parameters and inputs: the same for everything that is compared


class NotMeasurable(Exception):
    """A contender cannot be measured under these conditions; the message says why."""


@dataclass(frozen=True)
class Built:
    """A contender with parameters and an input.

    Attributes:
        trial: its module, and the numbers that it was given.
        x: the input [B, T, d_model], to be query, key and value; it requires no gradient.
        bind: makes the module's own call of an input, ready to be made again and again: nothing else is in its time.
        leaves: the parameters.
    """

    contender: Contender
    trial: Trial
    shape: Shape
    x: Tensor
    bind: Callable[[Tensor], Callable[[], Tensor]]
    leaves: tuple[Tensor, ...]


def loaded(contender: Contender, device: str) -> Subject:
    """Load and understand a contender; raises SubjectError."""
    return understand(replace(contender.request, device=device))


def build(contender: Contender, subject: Subject, shape: Shape, dtype: str, device: str) -> Built:
    """Build a contender at a shape.

    Raises:
        NotMeasurable: it does not exist in this size, or not in this dtype.
    """
    if contender.request.dtypes and dtype not in contender.request.dtypes:
        raise NotMeasurable(f"it is declared for {', '.join(contender.request.dtypes)}, not for {dtype}")
    if subject.unregistered:
        raise NotMeasurable(subject.unregistered)
    sizes = subject.adapter.sizes
    if sizes is not None and sizes != (shape.head, shape.d_model):
        raise NotMeasurable(f"it exists with head={sizes[0]}, d_model={sizes[1]} only")
    case = Case(
        dtype, shape.batch, shape.head, shape.length, shape.length, shape.d_k, data="normal", tie="all",
        need_weights=contender.need_weights, seed=SEED,
    )  # fmt: skip
    trial = Trial(subject, case)
    trial.module.requires_grad_(True)
    x = trial.place(trial.query)
    return Built(contender, trial, shape, x, _bare(trial, x), tuple(trial.module.parameters()))


def _bare(trial: Trial, x: Tensor) -> Callable[[Tensor], Callable[[], Tensor]]:
    """Return what makes the shortest call that gives what the adapter's gives.

    An adapter that passes its arguments on, and hands out what comes back, is left out of the time. One that does more than
    that, or calls something else than the module, belongs to the implementation.
    """
    module, caller, wanted = trial.module, trial.subject.caller, trial.case.need_weights
    if isinstance(module, Floor):
        head, flat = module.head, module.flat()
        return lambda x: functools.partial(plain_attention, x, head, *flat)
    seen: list[tuple[tuple[Any, ...], dict[str, Any], Any]] = []

    def note(module: nn.Module, args: tuple[Any, ...], named: dict[str, Any], result: Any) -> None:
        seen.append((args, named, result))

    handle = module.register_forward_hook(note, with_kwargs=True)
    try:
        with torch.no_grad():
            items = caller.items(module, x, x, x, None, wanted)
    finally:
        handle.remove()

    def adapted(x: Tensor) -> Callable[[], Tensor]:
        return lambda: caller(module, x, x, x, None, wanted)[0]

    if len(seen) != 1:
        return adapted
    args, named, result = seen[0]
    members = list(result.values()) if isinstance(result, dict) else result if isinstance(result, (tuple, list)) else [result]
    passed_on = len(items) == len(members) and all(a is b for a, b in zip(items, members, strict=True))
    if not passed_on or any(isinstance(a, Tensor) and a is not x for a in (*args, *named.values())):
        return adapted
    at = caller.output_from

    def bare(given: Tensor) -> Callable[[], Tensor]:
        call = functools.partial(
            module, *(given if a is x else a for a in args), **{name: given if a is x else a for name, a in named.items()}
        )
        if isinstance(result, Tensor):
            return call
        return (lambda: list(call().values())[at]) if isinstance(result, dict) else lambda: call()[at]

    return bare
