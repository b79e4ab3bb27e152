"""Where every call of a subject raises, nothing can be judged: what was tried, what it raised, and the adapter to write."""

from __future__ import annotations

import itertools
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from mhsa.introspect.adapter_sketch import INDENT, sketch, wrapped
from mhsa.introspect.calls.find_mask_shape import forms_of_mask
from mhsa.introspect.failing_builds import GPU_IS_MISSING, needs_a_gpu
from mhsa.records.errors import Question, one_line
from mhsa.records.request import Request
from mhsa.subject.adapters.adapter import Adapter, in_eval_mode
from mhsa.subject.caller import Caller, heads_of
from mhsa.subject.generic_inputs import first_sizes
from mhsa.subject.parameter_layout import Sizes

# Batch, Tq, Tk: one and several of each, equal and not, and the powers of two that windows and patches need.
_SHAPES = ((2, 3, 6), (2, 4, 4), (1, 1, 1), (3, 16, 16), (1, 64, 64))
# In addition to the sizes of the first module: a d_k that is even and a power of two, as rotary and kernels need.
_OTHER_SIZES = (Sizes(head=2, d_k=8),)

_OF_NUMPY = "NumPy raises in every call without a mask, and mhsa judges what computes with tensors of PyTorch"

_Try = tuple[str, str, Callable[[], Any]]  # the words for what a call is given, its dtype, the call


@dataclass(frozen=True)
class Refused:
    """A call that raised: the words for what it was given, the error in one line, its line, and whether NumPy raised it."""

    given: str
    error: str
    place: str
    of_numpy: bool


def require_a_call(adapter: Adapter, module: nn.Module, request: Request, target: Any) -> str:
    """Try generic calls until one returns; ``target`` is what was loaded, ``module`` what was built of it.

    Return its dtype: float64, unless no call in float64 returns.

    A call that ends in anything else than an exception (it leaves the interpreter, say) is for the properties to judge.

    Raises:
        Question: every one raises, or NumPy raises in every one without a mask.
    """
    refused: list[Refused] = []
    what = "every call raises"
    try:
        for given, dtype, call in _calls(adapter, module, request.dtypes, request.device):
            try:
                call()
            except Exception as error:
                refused.append(Refused(given, one_line(error), _place(error, module), _is_of_numpy(error)))
            except SystemExit:
                return dtype
            else:
                if not refused or not all(each.of_numpy for each in refused):
                    return dtype
                what = _OF_NUMPY
                break
    finally:
        module.to(device="cpu", dtype=torch.float64)
    raise Question(_words(what, refused, adapter, request, target))


def _is_of_numpy(error: Exception) -> bool:
    """Whether NumPy raised: it is given tensors of PyTorch, which it takes in some operations, and in others not."""
    frames = traceback.extract_tb(error.__traceback__)
    return any(frame.filename.startswith(str(Path(np.__file__).parent)) for frame in frames)


def _calls(adapter: Adapter, module: nn.Module, dtypes: Sequence[str], device: str) -> Iterator[_Try]:
    """Yield calls with the words for what they are given and the dtype, the plainest first."""
    modules = [(module, first_sizes(adapter).d_model)]
    for sizes in () if adapter.sizes else _OTHER_SIZES:
        try:
            modules.append((in_eval_mode(adapter.build(sizes.head, sizes.d_model)), sizes.d_model))
        except Exception:  # it cannot be built so; the first one could
            continue
    forms = forms_of_mask(Caller(adapter, adapter.contract, tries=True)) if adapter.takes_mask else []
    callers: list[Caller | None] = [None, *forms]
    places = itertools.product(dict.fromkeys(("cpu", device)), dict.fromkeys(("float64", "float32", *dtypes)))
    for (where, dtype), (built, width), caller, shape in itertools.product(places, modules, callers, _SHAPES):
        if width in shape[1:]:  # tokens and features may be interchanged there, unseen
            continue
        if adapter.inputs == "x" and shape[1] != shape[2]:
            shape = (shape[0], shape[1], shape[1])
        query, key, value = _tensors(adapter, shape, width, getattr(torch, dtype), where)
        mask = None
        if caller is not None:
            everything = torch.ones(shape, dtype=torch.bool, device=where)
            mask = caller.convert(everything, query.dtype, heads_of(built, adapter.sizes))
        shown = {"query": query} if adapter.inputs == "x" else {"query": query, "key": key}
        shown |= {"value": value} if adapter.inputs == "qkv" else {}
        words = ", ".join(f"{n} {list(t.shape)}" for n, t in shown.items())
        words += ", no mask" if mask is None else f", mask {list(mask.shape)}"
        words += f", {dtype}" + (f" on {where}" if where != "cpu" else "")

        def call(
            built: nn.Module = built, given: tuple[Any, ...] = (query, key, value, mask),
            caller: Caller | None = caller, where: str = where, dtype: str = dtype,
        ) -> Any:  # fmt: skip
            with torch.no_grad():
                at = built.to(device=where, dtype=getattr(torch, dtype))
                return (caller or Caller(adapter, adapter.contract, tries=True)).items(at, *given)

        yield words, dtype, call


def _tensors(
    adapter: Adapter, shape: tuple[int, int, int], width: int, dtype: torch.dtype, where: str
) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)

    def draw(length: int) -> Tensor:
        return torch.randn(shape[0], length, width, generator=generator, dtype=torch.float64).to(device=where, dtype=dtype)

    query = draw(shape[1])
    if adapter.inputs == "x":
        return query, query, query
    key = draw(shape[2])
    return query, key, key if adapter.inputs == "q,kv" else draw(shape[2])


def _place(error: Exception, module: nn.Module) -> str:
    """Return file and line where the subject raised, rather than where a library that it called did."""
    mine, libraries = str(Path(__file__).parents[1]), tuple(str(Path(x.__file__ or "").parent) for x in (torch, np))
    frames = [f for f in traceback.extract_tb(error.__traceback__) if not f.filename.startswith((mine, "<"))]
    own = [f for f in frames if not f.filename.startswith(libraries)] or frames
    if own:
        return f"{_short(own[-1].filename)}, line {own[-1].lineno}"
    return f"the call itself: {type(module).__name__}.forward does not take it"


def _short(file: str) -> str:
    """Return a path as one would type it here."""
    path = Path(file)
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else file


def _words(first: str, refused: list[Refused], adapter: Adapter, request: Request, target: Any) -> str:
    """Return the question, in lines: what came of the calls, how the subject was read, and what to write."""
    kinds: dict[tuple[str, str], list[Refused]] = {}
    for each in refused:
        kinds.setdefault((each.error.partition(":")[0], each.place), []).append(each)
    most = sorted(kinds.values(), key=len, reverse=True)
    lines = [f"{first} ({len(refused)} were tried), so nothing was judged"]
    for found in most[:2]:
        row = [("given", found[0].given), ("raised", found[0].error), ("at", found[0].place)]
        lines += [line for topic, words in row for line in _row(topic, words)]
    if len(most) > 2:
        lines += _row("others", f"{len(most) - 2} more errors or places")
    lines += _row("tried", _tried(adapter, request.device))
    lines += _row("read as", adapter.describe())
    lines += sketch(adapter, request, target)
    if any(needs_a_gpu(each.error) for each in refused):
        lines += wrapped(GPU_IS_MISSING)
    return "\n".join(lines)


def _tried(adapter: Adapter, device: str) -> str:
    masks = "without a mask and with one that allows everything" if adapter.takes_mask else "without a mask"
    lengths = "lengths 1 to 64" if adapter.inputs == "x" else "lengths 1 to 64, equal and not"
    return f"batch 1 to 3, {lengths}, {masks}, in float64 and float32" + (f", on cpu and {device}" if device != "cpu" else "")


def _row(topic: str, words: str) -> list[str]:
    head = f"{INDENT}{topic:<8} "
    return wrapped(words, head, " " * len(head))
