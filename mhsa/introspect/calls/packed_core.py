"""A core without parameters that takes query, key and value in one tensor: a function of the three, in the form that fits."""

from __future__ import annotations

import contextlib
import functools
import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from mhsa.records.contract import PLAIN
from mhsa.records.errors import SubjectError
from mhsa.records.names import HEAD, pick
from mhsa.subject.construction.constructor_call import ConstructorCall
from mhsa.subject.returned import listed

_KNOWN = {"head", "dropout", "length", "layer", "on", "off"}
_SIZES = (2, 4, 7, 5)  # B, H, T, d of the call that shows the form: no two are the same, and none is 3
_NOTHING = 1e-9  # of numbers of one: rounding in float64 is a thousandth of it

# How the three, [3, B, H, T, d], become one tensor: the order of their axes, and how many of these each axis of it has.
_FORMS: dict[str, tuple[tuple[int, ...], tuple[int, ...]]] = {
    "[B, H * 3 * d, T]": ((1, 2, 0, 4, 3), (1, 3, 1)),
    "[B, 3 * H * d, T]": ((1, 0, 2, 4, 3), (1, 3, 1)),
    "[B, T, 3 * H * d]": ((1, 3, 0, 2, 4), (1, 1, 3)),
    "[B, T, H * 3 * d]": ((1, 3, 2, 0, 4), (1, 1, 3)),
    "[B, H, T, 3 * d]": ((1, 2, 3, 0, 4), (1, 1, 1, 2)),
    "[B, T, 3, H, d]": ((1, 3, 0, 2, 4), (1, 1, 1, 1, 1)),
    "[B, T, H, 3, d]": ((1, 3, 2, 0, 4), (1, 1, 1, 1, 1)),
    "[B, 3, H, T, d]": ((1, 0, 2, 3, 4), (1, 1, 1, 1, 1)),
    "[3, B, H, T, d]": ((0, 1, 2, 3, 4), (1, 1, 1, 1, 1)),
}
_Taken = Callable[[Tensor, tuple[int, ...]], Tensor]
_OUTPUTS: dict[str, _Taken] = {  # and how an output becomes [B, H, T, d]
    "bdt": lambda z, s: z.reshape(s[0], s[1], s[3], -1).transpose(2, 3),
    "btd": lambda z, s: z.reshape(s[0], -1, s[1], s[3]).transpose(1, 2),
    "bthd": lambda z, s: z.transpose(1, 2),
    "bhtd": lambda z, s: z,
}


@dataclass(frozen=True)
class PackedCore:
    """A function of query, key and value [B, H, T, d], and what it is.

    Attributes:
        function: what calls the core with one tensor.
        form: of that tensor.
        left_out: further parameters of the core, which are left at their defaults.
    """

    function: Callable[..., Any]
    form: str
    left_out: tuple[str, ...]


def packed_core(target: Any, name: str) -> PackedCore | None:
    """Return the function, or None where the class has parameters, needs more, or takes no such tensor.

    The form is that in which it is nearest to attention, causal or not, of those in which the output is linear in the value and
    what is in another head or sample changes nothing.
    """
    with contextlib.suppress(Exception):  # it cannot be built or called so, or has no readable forward
        call = _of_heads(target, name)
        parameters = dict(inspect.signature(call(1).forward if call is not None else target).parameters)
        first, *others = parameters
        heads = pick(others, HEAD) if call is None else None
        needed = [n for n in others if parameters[n].default is inspect.Parameter.empty and n != heads]
        if "qkv" not in first.lower() or needed:
            return None
        attend = _attend(target, call, heads)
        near = min(_tried(attend), key=lambda x: x[0])
        return PackedCore(_function(target, attend, *near[1:]), near[1], tuple(n for n in others if n != heads))
    return None


def _of_heads(target: Any, name: str) -> Callable[[int], nn.Module] | None:
    """Return what builds a module without parameters for a number of heads; None for a function.

    Raises:
        SubjectError: it has parameters, or is built with something else.
    """
    if not inspect.isclass(target):
        return None
    call = ConstructorCall(target, name, None, None, PLAIN)
    if call.unknown() or not set(call.read.roles.values()) <= _KNOWN:
        raise SubjectError(f"{name} is built with more than a number of heads")

    @functools.lru_cache(maxsize=64)
    def built(head: int) -> nn.Module:
        module: nn.Module = call.build(head, head).eval()
        if any(True for _ in module.parameters()):
            raise SubjectError(f"{name} has parameters")
        return module

    return built


def _attend(target: Any, call: Callable[[int], nn.Module] | None, heads: str | None) -> Callable[[Tensor, int], Any]:
    """Return the call with the one tensor and the number of heads."""

    def attend(packed: Tensor, head: int) -> Any:
        if call is not None:
            return call(head)(packed)
        return target(packed, **({heads: head} if heads else {}))

    return attend


def _tried(attend: Callable[[Tensor, int], Any]) -> Iterator[tuple[float, str, str]]:
    """Yield the forms in which a call returns an output: how far it is from attention, the form, that of the output."""
    generator = torch.Generator().manual_seed(0)
    three = torch.randn(3, *_SIZES, dtype=torch.float64, generator=generator)
    query, key, value = three
    attention = nn.functional.scaled_dot_product_attention
    expected = [attention(query, key, value, is_causal=causal) for causal in (False, True)]
    batch, head, tokens, width = _SIZES
    shapes = {
        (batch, head * width, tokens): "bdt",
        (batch, tokens, head * width): "btd",
        (batch, tokens, head, width): "bthd",
        _SIZES: "bhtd",
    }
    for form in _FORMS:
        with contextlib.suppress(Exception):  # another number of axes, or of features
            laid = shapes[tuple(listed(attend(_packed(three, form), head))[0].shape)]

            def called(x: Tensor, form: str = form, laid: str = laid) -> Tensor:
                return _OUTPUTS[laid](listed(attend(_packed(x, form), head))[0], _SIZES)

            if _is_of_three(called, three):
                yield min((called(three) - each).abs().max().item() for each in expected), form, laid


def _is_of_three(called: Callable[[Tensor], Tensor], three: Tensor) -> bool:
    """Whether an output is linear in the value, and heads and samples are apart: in another form they would be mixed."""
    output = called(three)
    larger, one_head, one_sample = three.clone(), three.clone(), three.clone()
    larger[2] *= 2
    one_head[:, :, 0] += 1
    one_sample[:, 0] += 1
    apart = [
        called(larger) - 2 * output,
        (called(one_head) - output)[:, 1:],
        (called(one_sample) - output)[1:],
    ]
    return all(bool((x.abs() <= _NOTHING).all()) for x in apart)


def _packed(three: Tensor, form: str) -> Tensor:
    """Return query, key and value [3, B, H, T, d] in one tensor of a form."""
    order, counts = _FORMS[form]
    packed = three.permute(order)
    for axis, count in enumerate(counts):
        packed = packed.flatten(axis, axis + count - 1)
    return packed


def _function(target: Any, attend: Callable[[Tensor, int], Any], form: str, laid: str) -> Callable[..., Any]:
    @functools.wraps(target)
    def core(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        if not query.shape == key.shape == value.shape:
            raise ValueError(f"one tensor {form} holds query, key and value of one shape")
        output = listed(attend(_packed(torch.stack((query, key, value)), form), query.size(1)))[0]
        return _OUTPUTS[laid](output, tuple(query.shape))

    three = [inspect.Parameter(n, inspect.Parameter.POSITIONAL_OR_KEYWORD) for n in ("query", "key", "value")]
    core.__signature__ = inspect.Signature(three)  # type: ignore[attr-defined]
    return core
