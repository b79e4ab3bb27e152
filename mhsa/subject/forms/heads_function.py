"""A function of heads with conventions of its own, called as the reference's slot calls one: [B, H, T, d] and a bool mask."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from torch import Tensor

from mhsa.records.conventions.values import Layout
from mhsa.records.names import KEY, QUERY, VALUE, pick
from mhsa.subject.forms.mask_conversion import MaskForm

# By layout: the places of its axes among B, H, T and d, and those of B, H, T and d among its axes.
_ORDERS: dict[Layout, tuple[tuple[int, ...], tuple[int, ...]]] = {
    "BTHD": ((0, 2, 1, 3), (0, 2, 1, 3)), "BHDT": ((0, 1, 3, 2), (0, 1, 3, 2)), "BDHT": ((0, 3, 1, 2), (0, 2, 3, 1)),
}  # fmt: skip


class HeadsFunction:
    """Lays out heads for a function, turns the mask into its form, and lays out what it returns.

    Its parameter for the mask is called ``mask``, whatever the function's own is called. ``of_queries`` is the function's one
    for a mask of the queries, which is given next to the mask and allows them all; empty where there is none.
    """

    def __init__(self, function: Callable[..., Any], layout: Layout, form: MaskForm, mask: str, of_queries: str = "") -> None:
        self._function, self._layout, self._form, self._mask, self._of_queries = function, layout, form, mask, of_queries
        self.__name__ = getattr(function, "__name__", repr(function))
        signature = inspect.signature(function)
        parameters = signature.parameters
        self._heads = [n for n in (pick(parameters, names) for names in (QUERY, KEY, VALUE)) if n is not None]
        renamed = (p.replace(name="mask") if n == mask else p for n, p in parameters.items())
        self.__signature__ = signature.replace(parameters=list(renamed), return_annotation=signature.empty)

    def __call__(self, **named: Any) -> Any:
        """Call the function by the names of its parameters, as the slot does."""
        query, key, _ = (named[n] for n in self._heads)
        batch, head = query.shape[:2]
        mask = named.pop("mask", None)
        if self._mask:
            named[self._mask] = mask if mask is None else self._own(mask, batch, head, query, key.size(2))
        if self._of_queries and mask is not None:
            named[self._of_queries] = self._form.all_queries(batch, query.size(2), query)
        named |= {n: self._given(named[n]) for n in self._heads}
        result = self._function(**named)
        if isinstance(result, tuple):
            return tuple(self._taken(x, batch, head, output=n == 0) for n, x in enumerate(result))
        return self._taken(result, batch, head, output=True)

    def _own(self, mask: Tensor, batch: int, head: int, query: Tensor, keys: int) -> Tensor:
        """Return the slot's mask, True may attend, in the function's form; of B * H samples where heads are among them.

        A floating mask is in the function's form already: it is passed on, so that what is written into it is seen.
        """
        if mask.is_floating_point():
            return mask
        allowed = mask[:, 0] if mask.dim() == 4 else mask
        allowed = allowed.expand(batch, query.size(2), keys)
        if self._layout == "(BH)TD":
            allowed = allowed.repeat_interleave(head, dim=0)
        return self._form.convert(allowed, query.dtype, head)

    def _given(self, x: Tensor) -> Tensor:
        if self._layout in _ORDERS:
            return x.permute(_ORDERS[self._layout][0])
        return x.flatten(0, 1) if self._layout == "(BH)TD" else x

    def _taken(self, x: Any, batch: int, head: int, *, output: bool) -> Any:
        """Return the output, or weights [B, H, Tq, Tk] in addition."""
        if not isinstance(x, Tensor):
            return x
        if self._layout == "(BH)TD" and x.dim() == 3 and x.size(0) == batch * head:
            return x.reshape(batch, head, *x.shape[1:])
        return x.permute(_ORDERS[self._layout][1]) if output and self._layout in _ORDERS and x.dim() == 4 else x


def usual_form(form: MaskForm) -> bool:
    """Whether a form is what the slot gives anyway: bool [B, 1, Tq, Tk], True may attend."""
    shaped = form.shape in (None, "[B, 1, Tq, Tk]")
    return shaped and form.meaning in (None, "allowed") and not form.floating
