"""Notes every attention that a process calls: torch's function, torch's module, and modules that are called attention."""

from __future__ import annotations

import functools
import math
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from mhsa.introspect.surroundings.find_surroundings import is_called_attention
from mhsa.records.names import HEAD

_KEYS = ("key", "keys", "k", "key_value_states", "encoder_hidden_states", "context", "memory")
_QUERIES = ("query", "queries", "q", "hidden_states", "x", "input", "inputs", "tgt", "src")
_MASKS = ("attn_mask", "attention_mask", "mask", "key_padding_mask", "padding_mask")


@dataclass(frozen=True)
class ObservedCall:
    """What is kept of a call.

    Attributes:
        batch, queries, keys, heads, width: of a head, ``width``.
        dtype: of the queries, as torch writes it.
        mask: its dtype and dimensions, "bool [B, 1, Tq, Tk]"; "" without one.
        causal: whether a causal mask is asked for by name.
        training: whether gradients are computed.
    """

    batch: int
    queries: int
    keys: int
    heads: int
    width: int
    dtype: str
    mask: str = ""
    causal: bool = False
    training: bool = False


class CallObserver:
    """Counts calls while it is installed; of attentions that call each other the innermost counts.

    What a module called attention computes without torch's function is seen by its inputs, [B, T, D], and by its number of
    heads; a module that does not say how many heads it has is not counted.
    """

    def __init__(self) -> None:
        self.calls: Counter[ObservedCall] = Counter()
        self.unclear: Counter[str] = Counter()  # classes called attention of which nothing could be kept
        self._inner = 0  # attentions that were counted until now
        self._undo: list[Callable[[], None]] = []
        self._paths: dict[int, str] = {}
        self._depth = 0

    def install(self) -> None:
        """Observe from now on."""
        function, call = functional.scaled_dot_product_attention, nn.Module.__call__
        observer = self

        @functools.wraps(function)
        def attention(query: Tensor, key: Tensor, *args: Any, **named: Any) -> Tensor:
            if not torch.compiler.is_compiling():
                observer._function(query, key, *args, **named)
            result: Tensor = function(query, key, *args, **named)
            return result

        @functools.wraps(call)
        def called(module: nn.Module, *args: Any, **named: Any) -> Any:
            if torch.compiler.is_compiling():
                return call(module, *args, **named)
            return observer._module(call, module, args, named)

        functional.scaled_dot_product_attention = attention
        nn.Module.__call__ = called  # type: ignore[method-assign]

        fast = torch.backends.mha.get_fastpath_enabled()  # an encoder layer of torch that calls no module of its own
        torch.backends.mha.set_fastpath_enabled(False)

        def undo() -> None:
            torch.backends.mha.set_fastpath_enabled(fast)
            functional.scaled_dot_product_attention = function
            nn.Module.__call__ = call  # type: ignore[method-assign]

        self._undo.append(undo)

    def remove(self) -> None:
        """Observe nothing more."""
        while self._undo:
            self._undo.pop()()

    def _note(self, call: ObservedCall) -> None:
        self.calls[call] += 1
        self._inner += 1

    def _function(
        self, query: Tensor, key: Tensor, value: Tensor, attn_mask: Tensor | None = None, dropout_p: float = 0.0,
        is_causal: bool = False, *args: Any, **named: Any,
    ) -> None:  # fmt: skip
        if query.dim() < 3 or key.dim() < 3:
            return
        *batch, heads, queries, width = query.shape if query.dim() > 3 else (1, *query.shape)
        sizes = {"Tq": queries, "Tk": key.size(-2), "H": heads, "B": math.prod(batch)}
        self._note(ObservedCall(
            sizes["B"], queries, sizes["Tk"], heads, width, _dtype(query), _mask(attn_mask, sizes), bool(is_causal),
            torch.is_grad_enabled() and any(t.requires_grad for t in (query, key, value)),
        ))  # fmt: skip

    def _module(self, call: Callable[..., Any], module: nn.Module, args: tuple[Any, ...], named: dict[str, Any]) -> Any:
        if not self._depth:
            self._paths |= {id(part): path for path, part in module.named_modules() if id(part) not in self._paths}
        self._depth += 1
        before = self._inner
        try:
            result = call(module, *args, **named)
        finally:
            self._depth -= 1
        if self._inner == before and is_called_attention(self._paths.get(id(module), ""), module):
            found = _of_module(module, args, named)
            if found is not None:
                self._note(found)
            elif next(module.parameters(), None) is not None:
                self.unclear[type(module).__name__] += 1
        return result


def _of_module(module: nn.Module, args: tuple[Any, ...], named: dict[str, Any]) -> ObservedCall | None:
    """Return what is known of a call of a module that computes attention in its own way; None if that is too little."""
    heads = next((n for name in sorted(HEAD, key=len, reverse=True) if _is_count(n := getattr(module, name, None))), None)
    tokens = [x for x in args if _is_tokens(x)]
    query = next((named[name] for name in _QUERIES if _is_tokens(named.get(name))), None)
    if query is None:
        if not tokens:
            return None
        query = tokens.pop(0)
    key = next((named[name] for name in _KEYS if _is_tokens(named.get(name))), tokens[0] if tokens else query)
    if heads is None or query.size(-1) % heads:
        return None
    first = not getattr(module, "batch_first", True)  # torch's module has the tokens first, unless it is told otherwise
    batch, queries = (query.size(1), query.size(0)) if first else (query.size(0), query.size(1))
    keys = key.size(0 if first else 1)
    sizes = {"Tq": queries, "Tk": keys, "H": heads, "B": batch}
    others = [x for x in (*(named.get(name) for name in _MASKS), *args) if isinstance(x, Tensor)]
    mask = next((x for x in others if x.dim() >= 2 and x.shape[-1] == keys and x is not query and not _is_tokens(x)), None)
    causal = bool(named.get("is_causal", False))
    training = torch.is_grad_enabled() and any(p.requires_grad for p in (query, *module.parameters()))
    return ObservedCall(
        batch, queries, keys, heads, query.size(-1) // heads, _dtype(query), _mask(mask, sizes), causal, training
    )  # fmt: skip


def _is_count(x: Any) -> bool:
    return isinstance(x, int) and not isinstance(x, bool) and x > 0


def _is_tokens(x: Any) -> bool:
    return isinstance(x, Tensor) and x.dim() == 3 and x.is_floating_point()


def _dtype(x: Tensor) -> str:
    return str(x.dtype).removeprefix("torch.")


def _mask(mask: Tensor | None, sizes: dict[str, int]) -> str:
    """Return a mask's dtype and dimensions, those that have a name with it; of names with the same size the first fits."""
    if not isinstance(mask, Tensor):
        return ""
    return f"{_dtype(mask)} [{', '.join(_dimensions(list(mask.shape), sizes))}]"


def _dimensions(shape: list[int], sizes: dict[str, int]) -> Iterator[str]:
    usual = {-1: "Tk", -2: "Tq", -3: "H", -4: "B"}
    if len(shape) == 2 and shape[0] == sizes["B"] and shape[0] != sizes["Tq"]:
        usual[-2] = "B"  # of each sequence, its padding
    if len(shape) == 3 and shape[0] == sizes["B"] and shape[0] != sizes["H"]:
        usual[-3] = "B"
    for place, size in zip(range(-len(shape), 0), shape, strict=True):
        name = usual.get(place, "")
        yield name if name and size == sizes[name] and size != 1 else str(size)
