"""What a module asks torch about its surroundings, and calls in which the answer is the other one."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from types import FunctionType
from typing import Any

from mhsa.judge.branches.own_code import TORCH, names_of

# What the answer may change is how a result is computed, and never which: compilers and exporters must find the same module,
# and so must whoever wants results that repeat, or has kernels switched off. Of gradients, inference and autocast a mode of
# torch's own is tried (properties/test_modes.py, test_transforms.py); a device that is not there cannot be.
QUESTIONS = (
    "torch.compiler.is_compiling",
    "torch.compiler.is_dynamo_compiling",
    "torch.compiler.is_exporting",
    "torch._dynamo.is_compiling",
    "torch._dynamo.external_utils.is_compiling",
    "torch._utils.is_compiling",
    "torch.jit.is_scripting",
    "torch.jit.is_tracing",
    "torch.onnx.is_in_onnx_export",
    "torch.fx._symbolic_trace.is_fx_tracing",
    "torch.are_deterministic_algorithms_enabled",
    "torch.backends.cuda.flash_sdp_enabled",
    "torch.backends.cuda.mem_efficient_sdp_enabled",
    "torch.backends.cuda.math_sdp_enabled",
    "torch.backends.cuda.cudnn_sdp_enabled",
)


@dataclass
class TimesAsked:
    """How often a question was asked by other code than torch's own."""

    times: int = 0


def questions_of(functions: Sequence[FunctionType]) -> list[str]:
    """Return the questions that these functions may ask, by the names in them."""
    names = frozenset().union(*(names_of(function.__code__) for function in functions))
    known = {id(original): question for question in QUESTIONS if (original := _original(question)) is not None}
    called = {known[id(x)] for f in functions for n in names_of(f.__code__) if id(x := f.__globals__.get(n)) in known}
    return [q for q in QUESTIONS if (q in called or q.rpartition(".")[2] in names) and _original(q) is not None]


@contextmanager
def answered_otherwise(question: str, functions: Sequence[FunctionType]) -> Iterator[TimesAsked]:
    """Answer a question of other code than torch's with the opposite of what is true."""
    original = _original(question)
    assert original is not None
    asked = TimesAsked()

    def other(*arguments: Any, **named: Any) -> Any:
        true = original(*arguments, **named)
        if sys._getframe(1).f_code.co_filename.startswith(TORCH):
            return true
        asked.times += 1
        return not true

    owner, _, name = question.rpartition(".")
    places: list[tuple[dict[str, Any], str]] = [(vars(sys.modules[owner]), name)]
    for seen in {id(f.__globals__): f.__globals__ for f in functions}.values():
        places += [(seen, n) for n, x in list(seen.items()) if x is original]
    with ExitStack() as after:
        for namespace, n in places:
            after.callback(namespace.__setitem__, n, original)
            namespace[n] = other
        yield asked


def _original(question: str) -> Callable[..., Any] | None:
    """Return torch's own function; None where it is in a part of torch that nobody has imported."""
    owner, _, name = question.rpartition(".")
    found: Callable[..., Any] | None = getattr(sys.modules.get(owner), name, None)
    return found
