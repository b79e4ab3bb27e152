"""A function of heads that returns them merged, [B, Tq, H * d] or [B, H * d, Tq], as the module around it would do next."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from torch import Tensor

from mhsa.records.conventions.values import Layout
from mhsa.records.names import QUERY, pick


class MergedHeads:
    """Parts the heads of what a function returns, in the layout in which it takes them.

    With tokens last there, [B, H, d, T] or [B, d, H, T], they are last in what it returns.
    """

    def __init__(self, function: Callable[..., Any], layout: Layout) -> None:
        self.__wrapped__ = function  # where inspect.signature looks for the names of its parameters
        self.__name__ = getattr(function, "__name__", repr(function))
        self._layout = layout
        self._query = pick(inspect.signature(function).parameters, QUERY) or ""

    def __call__(self, **named: Any) -> Any:
        """Return what the function returns, with the heads of its output apart; one that is no such output is left as it is."""
        result, query = self.__wrapped__(**named), named[self._query]
        if isinstance(result, tuple) and result:
            return (self._apart(result[0], query), *result[1:])
        return self._apart(result, query)

    def _apart(self, output: Any, query: Tensor) -> Any:
        if self._layout in ("BHDT", "BDHT"):
            batch, *axes, queries = query.shape
            merged = (batch, axes[0] * axes[1], queries)
            return output.reshape(query.shape) if isinstance(output, Tensor) and output.shape == merged else output
        queries, heads = (1, 2) if self._layout == "BTHD" else (2, 1)
        merged = (query.size(0), query.size(queries), query.size(heads) * query.size(3))
        if not isinstance(output, Tensor) or output.shape != merged:
            return output
        apart = output.reshape(*output.shape[:2], query.size(heads), -1)
        return apart if self._layout == "BTHD" else apart.transpose(1, 2)
