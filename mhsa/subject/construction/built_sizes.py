"""The number of heads and the width of a module that is there already: by its attributes, its layers, and one call of it."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from mhsa.records.errors import SubjectError
from mhsa.records.names import HEAD, WIDTH, number
from mhsa.subject.returned import listed
from mhsa.subject.signature import call_of, read_signature

# Primes that differ from the sizes of most modules, so that a tensor [.., Tq, Tk] is one of scores.
_BATCH, _QUERIES, _KEYS = 2, 11, 13


def width_of(module: nn.Module) -> int | None:
    """Return d_model: an attribute that is called so, or what the first layer takes, where none takes as much as that.

    Of layers that take different widths, that of one head and of all of them say, the first width with which a call returns.
    """
    width = number(module, WIDTH)
    taken = {part.in_features for part in module.modules() if isinstance(part, nn.Linear)}
    if width is not None and (not taken or width in taken):  # else it may be the width of a head
        return width
    for part in module.modules():
        if isinstance(part, nn.Linear):
            return next((n for n in sorted(taken) if len(taken) > 1 and runs(module, n)), part.in_features)
        if isinstance(part, nn.modules.conv._ConvNd):
            return part.in_channels
    return None


def head_of(module: nn.Module, d_model: int) -> int | None:
    """Return the number of heads: an attribute of the module or of the one part that has it, or what a call shows."""
    head = number(module, HEAD)
    if head is not None:
        return head
    inside = {n for part in module.modules() if (n := number(part, HEAD)) is not None}
    return inside.pop() if len(inside) == 1 else head_of_scores(module, d_model)


def sizes_of(module: nn.Module, name: str) -> tuple[int, int]:
    """Return (head, d_model) of a built module.

    Raises:
        SubjectError: they cannot be read, or do not fit each other.
    """
    width = width_of(module)
    head = None if width is None else head_of(module, width)
    if head is None or width is None or width % head:
        raise SubjectError(
            f"{name} is a built module whose number of heads and width cannot be read (found head={head}, "
            f"d_model={width}); give it attributes num_heads and embed_dim, or describe it in an mhsa.Adapter with sizes"
        )
    return head, width


def runs(module: nn.Module, d_model: int) -> bool:
    """Whether a plain call on [B, T, d_model] returns; False also where nothing is known of the call."""
    with contextlib.suppress(Exception):
        for call in _calls(module, d_model, layouts=False):
            with contextlib.suppress(Exception):
                call()
                return True
    return False


def answers_one_query(module: nn.Module, d_model: int) -> bool:
    """Whether it takes one query for each sample, [B, d_model], and the tokens it attends to, and gives what is like it."""
    with contextlib.suppress(Exception):
        signature = read_signature(call_of(type(module)), type(module).__name__, method=True)
        query, key = torch.randn(_BATCH, d_model), torch.randn(_BATCH, _KEYS, d_model)
        if signature.inputs != "x":
            answer = listed(module(**signature.bind(query, key, key, None, False)))[0]
            return isinstance(answer, Tensor) and answer.shape == query.shape
    return False


def head_of_scores(module: nn.Module, d_model: int) -> int | None:
    """Return the number of heads of the weights in a call; None where no call has such."""
    with contextlib.suppress(Exception):
        for call in _calls(module, d_model, layouts=True):
            watch = _Scores()
            with contextlib.suppress(Exception), watch:
                call()
            if watch.heads:
                return watch.heads
    return None


def _calls(module: nn.Module, d_model: int, *, layouts: bool) -> Iterator[Any]:
    """Yield calls in eval mode, with a mask only where one is required; the last are of one sample, [T, D].

    With ``layouts`` there are calls on [B, D, T] and on pixels, too.
    """
    signature = read_signature(call_of(type(module)), type(module).__name__, method=True)
    parameter = next(module.parameters(), None)
    dtype = torch.float32 if parameter is None else parameter.dtype
    shapes: list[tuple[int, ...]] = [()]
    masks: list[tuple[tuple[int, ...], torch.dtype] | None] = [None]
    if signature.mask_required:
        kinds = (torch.bool, dtype) if dtype.is_floating_point else (torch.bool,)
        masks += [(more, kind) for kind in kinds for more in ((_QUERIES,), (1, _QUERIES), ())]
    if layouts and signature.inputs == "x":
        shapes += [(_BATCH, d_model, _QUERIES), (_BATCH, d_model, 1, _QUERIES)]
    if signature.inputs == "x":
        shapes.append((_QUERIES, d_model))  # one sample without an axis for it
    for shape, form in itertools.product(shapes, masks):
        query = torch.randn(shape or (_BATCH, _QUERIES, d_model), dtype=dtype)
        key = query if signature.inputs == "x" else torch.randn(_BATCH, _KEYS, d_model, dtype=dtype)
        keys = _QUERIES if signature.inputs == "x" else _KEYS
        mask = None if form is None else torch.zeros(_BATCH, *form[0], keys, dtype=form[1])

        def call(query: Tensor = query, key: Tensor = key, mask: Tensor | None = mask) -> Any:
            training = module.training
            with torch.no_grad(), torch.random.fork_rng(devices=[]):
                try:
                    module.eval()
                    return module(**signature.bind(query, key, key, mask, False))
                finally:
                    module.train(training)

        yield call


class _Scores(TorchFunctionMode):
    """Notes of how many heads the weights are that a softmax gives, or the queries that torch's own attention takes."""

    def __init__(self) -> None:
        super().__init__()
        self.heads = 0

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        name = getattr(func, "__name__", "")
        if name == "scaled_dot_product_attention" and args and args[0].dim() == 4:
            self.heads = args[0].size(1)
        elif "softmax" in name and isinstance(result, Tensor):
            self._weights(tuple(result.shape))
        return result

    def _weights(self, shape: tuple[int, ...]) -> None:
        if shape == (_QUERIES, _QUERIES):  # of one sample
            self.heads += 1
        if len(shape) < 3 or shape[-2] != _QUERIES or shape[-1] not in (_QUERIES, _KEYS):
            return
        if len(shape) == 4 and shape[0] == _BATCH:
            self.heads = shape[1]
        elif len(shape) == 3 and shape[0] == _BATCH:  # one head at a time
            self.heads += 1
        elif len(shape) == 3 and shape[0] % _BATCH == 0:
            self.heads = shape[0] // _BATCH
