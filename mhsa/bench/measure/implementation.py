"""What is measured: implementations by name, built with the same numbers, and called with nothing around the call."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor, nn

from mhsa.bench.measure.baseline import Baseline, plain_attention
from mhsa.bench.measure.captured.own_tools import gradients_of, replaced
from mhsa.bench.measure.clock import Call
from mhsa.bench.measure.measurement import BASELINE, Contender, Pass
from mhsa.introspect.resolve import understand
from mhsa.records.case import Case
from mhsa.records.errors import Question, SubjectError
from mhsa.records.shape import Shape
from mhsa.subject.adapters.several_calls import is_square
from mhsa.subject.subject import Subject
from mhsa.subject.trial import Trial

SEED = 0  # of parameters and inputs: the same for everything that is compared
_STREAM = 21  # of the random numbers of the gradient in the timed backward pass


class NotMeasurable(Exception):
    """A contender cannot be measured under these conditions; the message says why."""


class Bind(Protocol):
    """Makes a call of an input [B, T, D], and of queries [B, Q, D] where not all of its tokens are."""

    def __call__(self, x: Tensor, query: Tensor | None = None) -> Callable[[], Tensor]:
        """Return the call."""


@dataclass(frozen=True)
class Built:
    """A contender with parameters and an input.

    Attributes:
        trial: its module, and the numbers that it was given.
        x: the input [B, T, d_model], to be query, key and value; it requires no gradient.
        bind: makes the module's own call of an input, ready to be made again and again: nothing else is in its time. Where only
            some tokens are queries, it takes them, too; without them they are those of the input as it is then.
        leaves: the parameters.
        replaced: names of functions that loading it has replaced, of those that times are taken with; they were put back.
    """

    contender: Contender
    trial: Trial
    shape: Shape
    x: Tensor
    bind: Bind
    leaves: tuple[Tensor, ...]
    replaced: tuple[str, ...] = ()

    def queries(self, length: int) -> int:
        """Return how many of some tokens are queries."""
        return min(self.shape.asked, length) if self.shape.queries else length


def loaded(contender: Contender, device: str) -> Subject:
    """Load and understand a contender; raises SubjectError.

    What fully masked rows give is a question to a verdict, and none here: no benchmark has such rows.
    """
    request = replace(contender.request, device=device)
    try:
        return understand(request)
    except Question as question:
        if "fully_masked_row" not in question.declaration or not question.declaration.keys() <= {"fully_masked_row", "reason"}:
            raise
        return understand(request.under(question.declaration))


class Loaded:
    """Contenders that are understood once, however often they are used."""

    def __init__(self) -> None:
        self.replaced: dict[tuple[Hashable, ...], tuple[str, ...]] = {}
        self._subjects: dict[tuple[Hashable, ...], Subject | str] = {}

    def build(self, contender: Contender, subject: Subject, cell: tuple[Shape, str, str], *more: Hashable) -> Built:
        """Build what was loaded, at a shape, dtype and device; raises as :func:`build`."""
        built = build(contender, subject, *cell)
        return replace(built, replaced=self.replaced.get((contender.name, cell[2], *more), ()))

    def __call__(self, contender: Contender, device: str, *more: Hashable) -> Subject | str:
        """Return the subject, or why there is none; ``more`` distinguishes subjects of one name, as at two commits."""
        key = (contender.name, device, *more)
        if key not in self._subjects:
            try:
                self._subjects[key] = loaded(contender, device)
            except SubjectError as error:
                words = str(error).partition("\n\n")[0]  # a question goes on with code to paste, for `mhsa verify` to show
                self._subjects[key] = " ".join(words.split())
            self.replaced[key] = tuple(replaced())
        return self._subjects[key]


def build(contender: Contender, subject: Subject, shape: Shape, dtype: str, device: str) -> Built:
    """Build a contender at a shape.

    Raises:
        NotMeasurable: it does not exist in this size, or not in this dtype.
    """
    if contender.request.dtypes and dtype not in contender.request.dtypes:
        raise NotMeasurable(f"it is declared for {', '.join(contender.request.dtypes)}, not for {dtype}")
    if subject.unregistered:
        raise NotMeasurable(subject.unregistered)
    formula = subject.contract.formula
    formula = replace(formula, fill=None, lse=None, bias=None if formula.bias == "given" else formula.bias)  # no mask, no bias
    if words := formula.words:
        raise NotMeasurable(f"it is declared with {words[0]}, and the answers that are known are those of plain attention")
    sizes = subject.adapter.sizes
    if sizes is not None and sizes != (shape.head, shape.d_model):
        raise NotMeasurable(f"it exists with head={sizes[0]}, d_model={sizes[1]} only")
    one_input = subject.adapter.inputs == "x" or is_square(subject.adapter)
    if shape.queries and one_input and contender.name != BASELINE:
        raise NotMeasurable("it has as many queries as keys: its forward takes a single input")
    case = Case(
        dtype, shape.batch, shape.head, shape.length, shape.length, shape.d_k, data="normal", tie="all",
        need_weights=contender.need_weights, seed=SEED,
    )  # fmt: skip
    trial = Trial(subject, case)
    trial.module.requires_grad_(True)
    x = trial.tensor(trial.query)
    return Built(contender, trial, shape, x, _bare(trial, x, shape.queries), tuple(trial.module.parameters()))


def _bare(trial: Trial, x: Tensor, queries: int) -> Bind:
    """Return what makes the shortest call that gives what the adapter's gives.

    An adapter that passes its arguments on, and hands out what comes back, is left out of the time. One that does more than
    that, or calls something else than the module, belongs to the implementation.
    """
    module, caller, wanted = trial.module, trial.subject.caller, trial.case.need_weights

    def asked(x: Tensor, query: Tensor | None) -> Tensor:
        return x if not queries else x[:, :queries].contiguous() if query is None else query

    if isinstance(module, Baseline):
        head, flat = module.head, module.flat()
        return lambda x, query=None: functools.partial(
            plain_attention, x, head, *flat, **({"query": asked(x, query)} if queries else {})
        )

    def adapted(x: Tensor, query: Tensor | None = None) -> Callable[[], Tensor]:
        query = asked(x, query)
        return lambda: caller(module, query, x, x, None, wanted)[0]

    with torch.no_grad():
        calls, items = _watched(module, lambda: caller.items(module, asked(x, None), x, x, None, wanted))
    if len(calls) != 1 or not _hands_out(calls[0].result, items) or _versions(items) != calls[0].versions:
        return adapted
    at = caller.output_from

    def bare(x: Tensor, query: Tensor | None = None) -> Callable[[], Tensor]:
        query = asked(x, query)
        before = x._version
        try:
            with torch.no_grad(), _caught(module) as caught:
                caller.items(module, query, x, x, None, wanted)
        except _Caught:
            pass
        args, named = caught[0] if caught else ((object(),), {})
        # What is passed on in addition to x must not have been computed from it in a way that takes time.
        if x._version != before or not all(a is x or a is query or isinstance(a, _PLAIN) for a in (*args, *named.values())):
            return adapted(x, query)
        call = functools.partial(module, *args, **named)
        if isinstance(calls[0].result, Tensor):
            return call
        return (lambda: list(call().values())[at]) if isinstance(calls[0].result, dict) else lambda: call()[at]

    return bare


_PLAIN = (bool, int, float, str, type(None))


class _Call(NamedTuple):
    """A call of a module, and what was in the output when it was handed out."""

    result: Any
    versions: tuple[int, ...]


class _Caught(BaseException):
    """The arguments of a call are known, and the call need not be made."""


def _watched(module: nn.Module, step: Callable[[], list[Any]]) -> tuple[list[_Call], list[Any]]:
    """Take a step; return the module's calls in it, and what it gives."""
    calls: list[_Call] = []

    def note(module: nn.Module, args: tuple[Any, ...], result: Any) -> None:
        calls.append(_Call(result, _versions(_members(result))))

    handle = module.register_forward_hook(note)
    try:
        return calls, step()
    finally:
        handle.remove()


@contextlib.contextmanager
def _caught(module: nn.Module) -> Iterator[list[tuple[tuple[Any, ...], dict[str, Any]]]]:
    """Catch the arguments of a module's next call, which is not made."""
    found: list[tuple[tuple[Any, ...], dict[str, Any]]] = []

    def catch(module: nn.Module, args: tuple[Any, ...], named: dict[str, Any]) -> None:
        found.append((args, named))
        raise _Caught

    handle = module.register_forward_pre_hook(catch, with_kwargs=True, prepend=True)
    try:
        yield found
    finally:
        handle.remove()


def _hands_out(result: Any, items: list[Any]) -> bool:
    """Whether an adapter gives what the module returned, as it was returned."""
    members = _members(result)
    return len(items) == len(members) and all(a is b for a, b in zip(items, members, strict=True))


def _members(result: Any) -> list[Any]:
    if isinstance(result, dict):
        return list(result.values())
    return list(result) if isinstance(result, (tuple, list)) else [result]


def _versions(members: list[Any]) -> tuple[int, ...]:
    """Return how often each tensor has been written into."""
    return tuple(m._version for m in members if isinstance(m, Tensor) and not m.is_inference())


def untimed(shape: Shape, passes: Pass) -> str:
    """Return why a pass is not timed at a shape; empty if it is."""
    if shape.queries and passes == "training":
        return "where not every token is a query, only the forward pass is timed"
    return ""


def call_of(built: Built, passes: Pass) -> Call:
    """Return the call that is timed: forward without autograd, or forward and the gradients of x and all parameters."""
    if passes == "forward":
        return built.bind(built.x)
    trial = built.trial
    leaf = built.x.detach().clone().requires_grad_(True)
    start = trial.tensor(trial.cotangent(_STREAM, (built.shape.batch, built.shape.length, built.shape.d_model)))
    return training_call(built, leaf, start)


def training_call(built: Built, leaf: Tensor, start: Tensor) -> Call:
    """Return a forward pass of a leaf and the backward pass that begins with ``start``."""
    call, leaves = built.bind(leaf), (leaf, *built.leaves)

    def training() -> object:
        return gradients_of(call(), leaves, start, allow_unused=True)

    return training
