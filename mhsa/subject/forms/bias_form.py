"""The form in which an implementation takes a bias of the scores: an argument of its own or the mask, and its axes."""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Literal, get_args

import torch
from torch import Tensor

from mhsa.records.conventions.values import MaskShape

BiasShape = Literal["[B, H, Tq, Tk]", "[H, Tq, Tk]", "[B*H, Tq, Tk]", "[B, Tq, Tk]", "[Tq, Tk]"]
BIAS_SHAPES: tuple[BiasShape, ...] = get_args(BiasShape)
# Which biases have a word in each shape: the kinds of mhsa.records.case.BIASES.
SAYS: dict[BiasShape, tuple[str, ...]] = {
    "[B, H, Tq, Tk]": ("shared", "heads", "samples", "full"),
    "[H, Tq, Tk]": ("heads",),
    "[B*H, Tq, Tk]": ("full",),
    "[B, Tq, Tk]": ("samples",),
    "[Tq, Tk]": ("shared",),
}
# Of a mask that may be a bias instead: the shape of the bias.
AS_MASK: dict[MaskShape, BiasShape] = {
    "[B, Tq, Tk]": "[B, Tq, Tk]",
    "[B, 1, Tq, Tk]": "[B, H, Tq, Tk]",
    "[B, H, Tq, Tk]": "[B, H, Tq, Tk]",
    "[B*H, Tq, Tk]": "[B*H, Tq, Tk]",
    "[Tq, Tk]": "[Tq, Tk]",
}


@dataclass(frozen=True)
class BiasForm:
    """One form.

    Attributes:
        shape: of the tensor; an axis B or H may be of size 1 where there are four.
        kinds: of :data:`mhsa.records.case.BIASES` that are taken.
        in_mask: whether the bias is given as the mask, -inf where attention is not allowed.
        gradient: whether its gradient is judged; that of a mask may be left out.
    """

    shape: BiasShape = "[B, H, Tq, Tk]"
    kinds: tuple[str, ...] = ()
    in_mask: bool = False
    gradient: bool = True

    def convert(self, bias: Tensor) -> Tensor:
        """Return a bias [B or 1, H or 1, Tq, Tk] in this form; the result is a view of it where it can be one."""
        if self.shape == "[B*H, Tq, Tk]":
            return bias.flatten(0, 1)
        if self.shape == "[H, Tq, Tk]":
            return bias[0]
        if self.shape == "[B, Tq, Tk]":
            return bias[:, 0]
        return bias[0, 0] if self.shape == "[Tq, Tk]" else bias


_current: ContextVar[Tensor | None] = ContextVar("mhsa_bias", default=None)


class WithBias:
    """A function of heads that takes a bias, called as one that takes none: the bias is handed over by :func:`biased`."""

    def __init__(self, function: Any, name: str, *, required: bool) -> None:
        import inspect

        self.__wrapped__, self._name, self._required = function, name, required
        self.__name__ = getattr(function, "__name__", repr(function))
        signature = inspect.signature(function)
        kept = [p for n, p in signature.parameters.items() if n != name]
        self.__signature__ = signature.replace(parameters=kept, return_annotation=signature.empty)

    def __call__(self, *args: Any, **named: Any) -> Any:
        """Call the function; where no bias is at hand and it needs one, with zeros."""
        bias = _current.get()
        if bias is None and self._required:
            query, key, *_ = (x for x in (*args, *named.values()) if isinstance(x, Tensor))
            bias = torch.zeros(1, 1, query.size(-2), key.size(-2), dtype=query.dtype, device=query.device)
        if bias is not None:
            named[self._name] = bias
        return self.__wrapped__(*args, **named)


class biased:
    """Hands a bias to every :class:`WithBias` that is called within."""

    def __init__(self, bias: Tensor | None) -> None:
        self._bias = bias

    def __enter__(self) -> None:
        self._token = _current.set(self._bias)

    def __exit__(self, *_: object) -> None:
        _current.reset(self._token)
