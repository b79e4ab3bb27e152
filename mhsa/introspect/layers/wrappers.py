"""Classes of a file that wrap any part, a residual and a norm say: what they compute is read with something in its place."""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from mhsa.introspect.calls.generic_module import randomised
from mhsa.introspect.layers.layer_formula import layer_formula
from mhsa.records.conventions.layer import Sum
from mhsa.records.names import WIDTH, is_called
from mhsa.source.written_code import classes_of
from mhsa.subject.generic_inputs import SIZES

_PART = re.compile(r"^(?:sub_?layer|fn|func|layer|sub_?module|module|block|net|wrapped)$")
_RATE = re.compile(r"drop|^p$|prob|rate", re.IGNORECASE)
_LENGTH, _SAMPLES = 7, 3  # primes that are no size of the module


class _StandIn(nn.Module):
    """What stands in the place of a wrapped part."""

    def forward(self, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        return x.cos()


def wrappers_in(owner: Any) -> dict[str, tuple[Sum, bool]]:
    """Return what classes of a Python module compute around the part that each of them is given, by their names.

    With it comes whether it changes its input in place. Those of which it is not known, or that are given no part, are
    left out.
    """
    found: dict[str, tuple[Sum, bool]] = {}
    for name, kind in classes_of(owner).items():
        if issubclass(kind, nn.Module) and (layer := _wrapper(kind)) is not None:
            found[name] = layer
    return found


def _wrapper(kind: type[nn.Module]) -> tuple[Sum, bool] | None:
    part = _StandIn()
    try:
        given = _arguments(inspect.signature(kind.__init__).parameters, part)
        called = _arguments(inspect.signature(kind.forward).parameters, part, tensors=1)
        if given is None or called is None or (part not in given.values() and part not in called.values()):
            return None
        module = randomised(kind(**given).double().eval(), kind.__name__)
        if part in called.values():
            module.add_module("mhsa_stand_in", part)
        path = next(path for path, each in module.named_modules() if each is part)
        x = torch.randn(_SAMPLES, _LENGTH, SIZES.d_model, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
        before = x.clone()
        layer = layer_formula(module, lambda: module(x, **called), {path: "sublayer"})
        return None if layer is None else (layer, not torch.equal(x, before))
    except Exception:  # it is no wrapper that can be built and called so, which nobody has asked for
        return None


def _arguments(parameters: Mapping[str, inspect.Parameter], part: nn.Module, tensors: int = 0) -> dict[str, Any] | None:
    """Return what parameters are given, but for the first ``tensors`` of them; None where one of them is not known."""
    given: dict[str, Any] = {}
    for name, parameter in list(parameters.items())[1 + tensors :]:
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            continue
        if _PART.search(name.lower()):
            given[name] = part
        elif parameter.default is not parameter.empty:
            continue
        elif tensors:
            return None
        elif is_called(name, WIDTH):
            given[name] = SIZES.d_model
        elif _RATE.search(name):
            given[name] = 0.1  # any: in eval mode nothing is dropped
        else:
            return None
    return given
