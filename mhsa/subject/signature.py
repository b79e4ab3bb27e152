"""Reads a forward method: which parameter is the query, the key, the value, the mask."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from torch import Tensor

from mhsa.records.errors import SubjectError
from mhsa.records.names import CONTEXT, KEY, MASK, QUERY, SELF, VALUE, WANT_WEIGHTS, pick


@dataclass(frozen=True)
class Signature:
    """Names of the parameters that are given something; ``want_weights``: of the switch that asks for weights.

    ``not_given`` are parameters whose defaults are left alone, and which therefore nothing is known of; ``mask_required``
    says that the mask has no default.
    """

    query: str
    key: str | None
    value: str | None
    mask: str | None
    want_weights: str | None = None
    not_given: tuple[str, ...] = ()
    mask_required: bool = False

    @property
    def inputs(self) -> Literal["qkv", "q,kv", "x"]:
        """Which of query, key and value can differ."""
        return "x" if self.key is None else "q,kv" if self.value is None else "qkv"

    def bind(
        self, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, need_weights: bool
    ) -> dict[str, Tensor | bool | None]:
        """Keyword arguments of a call."""
        given: dict[str, Tensor | bool | None] = {self.query: query}
        if self.key is not None:
            given[self.key] = key
        if self.value is not None:
            given[self.value] = value
        if self.mask is not None:
            given[self.mask] = mask
        if self.want_weights is not None:
            given[self.want_weights] = need_weights
        return given

    def describe(self) -> str:
        """Return the arguments as they are passed."""
        roles = {"query": self.query, "key": self.key, "value": self.value, "mask": self.mask}
        return ", ".join(n if n == role else f"{n}={role}" for role, n in roles.items() if n is not None)


def read_signature(forward: Callable[..., Any], name: str, *, method: bool) -> Signature:
    """Read by the common names; where they say nothing, the first three required parameters are query, key, value.

    Raises:
        SubjectError: the parameters cannot be told apart, or one more is required.
    """
    listed = list(inspect.signature(forward).parameters.values())[1 if method else 0 :]
    parameters = {p.name: p for p in listed if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)}
    required = [n for n, p in parameters.items() if p.default is p.empty]
    shown = f"{name}.forward({', '.join(map(str, listed))})"
    adapter = "Describe the call in an mhsa.Adapter (docs/adapters.md)"
    mask = pick(parameters, MASK) or next(
        (n for n in parameters if "mask" in n.lower() and "padding" not in n.lower() and "pad" not in n.lower()), None
    )
    query, key, value = (pick(parameters, names) for names in (QUERY, KEY, VALUE))
    tensors = [n for n in required if n != mask]
    if query and key and value:
        names: tuple[str, str | None, str | None] = (query, key, value)
    elif len(tensors) >= 3:
        names = (tensors[0], tensors[1], tensors[2])
    elif not (key or value) and (alone := query or pick(parameters, SELF) or (tensors[0] if tensors else None)):
        rest = [n for n in parameters if n not in (alone, mask)]
        left = [n for n in tensors if n != alone]
        names = (alone, pick(rest, CONTEXT) or (left[0] if len(left) == 1 else None), None)
    elif query and key and not value:
        names = (query, key, None)
    else:
        raise SubjectError(f"{shown}: cannot tell query, key and value apart. {adapter}")
    want = pick(parameters, WANT_WEIGHTS)
    not_given = tuple(n for n in parameters if n not in (*names, mask, want))
    signature = Signature(*names, mask, want, not_given, mask in required)
    unknown = [n for n in required if n not in (*names, mask, signature.want_weights)]
    if unknown:
        raise SubjectError(f"{shown} needs {', '.join(unknown)}, and mhsa does not know what to give. {adapter}")
    return signature
