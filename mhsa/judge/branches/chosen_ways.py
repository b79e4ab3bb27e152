"""Flags of a built module, or of its file, that choose one of several implementations of the same formula."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import FunctionType
from typing import Any

from torch import nn

from mhsa.judge.branches.own_code import is_state, names_of, own_functions, words_of
from mhsa.records.names import WANT_WEIGHTS, is_called
from mhsa.subject.trial import Trial

# Words for ways to one result. Not "fast", "efficient", "linear", "chunk" and "local", which are also words for other formulas.
WAYS = {
    "flash": "a kernel that is exact",
    "sdpa": "torch's function for the same formula",
    "scaled_dot_product": "the same",
    "fused": "one kernel, or one product, for several steps",
    "xformers": "a library of exact kernels",
    "mem_efficient|memory_efficient": "torch's kernel of that name, which is exact",
    "fast_?path": "what torch calls a shorter way to the same result",
    "triton": "a language for kernels",
    "cudnn": "a library of exact kernels",
    "eager": "what is not compiled",
    "compiled?": "the same code, translated",
    "einsum": "another way to write a product",
    "baddbmm|bmm": "the same",
    "vectori[sz]ed": "the same without a loop",
    "checkpoint(ing)?": "what computes again what it does not keep",
    "inplace|in_place": "what writes where it reads",
}
# What makes a name one of a part of the formula, whatever else it says.
_FORMULA = re.compile(
    r"causal|window|mask|bias|norm|scale|drop|rot|cross|alibi|cap|sink|qkv|proj|quant|fp8|cache", re.IGNORECASE
)
_WAY = re.compile(rf"(^|_)(use|is|has|have|with)?_?({'|'.join(WAYS)})", re.IGNORECASE)
_NAMES_OF_WORDS = re.compile(r"_?(attn_|attention_)?(impl|implementation|backend)", re.IGNORECASE)
_WORDS = {"eager", "sdpa", "math", "torch", "naive", "manual", "native", "einsum", "vanilla", "flash", "fused", "triton",
          "flash_attention", "flash_attention_2", "xformers", "mem_efficient", "memory_efficient", "pytorch", "plain", "loop",
          "standard", "default", "reference"}  # fmt: skip


@dataclass(frozen=True)
class Way:
    """A flag in another position: in words, and how it is set and put back."""

    words: str
    read: Callable[[], Any]
    write: Callable[[Any], None]
    value: Any

    @contextmanager
    def taken(self) -> Iterator[None]:
        """Set the flag, and put it back afterwards."""
        before = self.read()
        self.write(self.value)
        try:
            yield
        finally:
            self.write(before)


def other_ways(trial: Trial) -> list[Way]:
    """Return every flag of the trial's module in every other position that its own code reads."""
    functions = own_functions(trial)
    if not functions:
        return []
    names = frozenset().union(*(names_of(f.__code__) for f in functions))
    words = frozenset().union(*(words_of(f.__code__) for f in functions)) & _WORDS
    ways: list[Way] = []
    for path, part in trial.module.named_modules():
        if not type(part).__module__.startswith(("torch.", "mhsa.reference")):
            ways += _of_part(path, part, names, words)
    return [*ways, *_of_files(functions)]


def _of_part(path: str, part: nn.Module, names: frozenset[str], words: frozenset[str]) -> Iterator[Way]:
    kind: Any = type(part)
    for name, value in vars(part).items():
        if name not in names or is_state(kind, name):
            continue
        if type(value) is bool and not name.startswith("_") and (_is_way(name) or is_called(name, WANT_WEIGHTS)):
            others: Sequence[Any] = (not value,)
        elif isinstance(value, str) and value in _WORDS and _NAMES_OF_WORDS.fullmatch(name):
            others = sorted(words - {value})
        else:
            continue
        where = f"{path}.{name}" if path else name
        for other in others:
            yield Way(
                f"{where} = {other!r}",
                lambda part=part, name=name: getattr(part, name),  # type: ignore[misc]
                lambda x, part=part, name=name: setattr(part, name, x),  # type: ignore[misc]
                other,
            )


def _of_files(functions: Sequence[FunctionType]) -> Iterator[Way]:
    seen = set()
    for function in functions:
        space = function.__globals__
        for name in names_of(function.__code__):
            if type(space.get(name)) is bool and _is_way(name) and (id(space), name) not in seen:
                seen.add((id(space), name))
                yield Way(
                    f"{name} = {not space[name]}",
                    lambda space=space, name=name: space[name],  # type: ignore[misc]
                    lambda x, space=space, name=name: space.__setitem__(name, x),  # type: ignore[misc]
                    not space[name],
                )


def _is_way(name: str) -> bool:
    """Whether a name says that it chooses a way to compute, and nothing of a formula."""
    return _WAY.search(name) is not None and _FORMULA.search(name) is None
