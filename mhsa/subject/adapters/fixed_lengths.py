"""Modules that take inputs of the lengths alone that they are built for: one for each pair of lengths shares the parameters."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from weakref import WeakKeyDictionary

import torch
from torch import nn

from mhsa.subject.adapters.window_tables import give_rows, tables_of, with_largest_tables
from mhsa.subject.construction.argument_roles import for_lengths

_FIRST = 2  # the length that the module itself is built for, whose parameters all others share
_HOOKS = (
    "_forward_hooks", "_forward_pre_hooks", "_forward_hooks_with_kwargs", "_forward_pre_hooks_with_kwargs",
    "_forward_hooks_always_called",
)  # fmt: skip
_OTHERS: WeakKeyDictionary[nn.Module, dict[tuple[int, int], nn.Module]] = WeakKeyDictionary()
_SIZES = "_mhsa_sizes"  # attribute of a module: what it was built with; copies of it have it, too

Build = Callable[[int, int, float], nn.Module]


def built_for_any(build: Build, head: int, d_model: int, rate: float, *, windows: bool = False) -> nn.Module:
    """Return a module that notes its sizes and rate of dropout, for :func:`of_lengths`; of ``windows`` the table is shared."""

    def built(tokens: int) -> nn.Module:
        with for_lengths(tokens, tokens):
            return build(head, d_model, rate)

    module = with_largest_tables(built(_FIRST), _FIRST, built) if windows else built(_FIRST)
    vars(module)[_SIZES] = (head, d_model, rate)
    return module


def of_lengths(build: Build, module: nn.Module, queries: int, keys: int) -> nn.Module:
    """Return the module for these lengths, with the parameters, hooks and mode of ``module``.

    Raises:
        TypeError: a parameter has another shape in other lengths, so that it cannot be shared.
    """
    others = _OTHERS.setdefault(module, {})
    if (queries, keys) not in others:
        # A call under inference_mode builds it for those outside, too.
        with for_lengths(queries, keys), torch.random.fork_rng(devices=[]), torch.inference_mode(mode=False):
            others[queries, keys] = build(*vars(module)[_SIZES])
    other = others[queries, keys]
    tables = tables_of(module)
    parameter = next(module.parameters(), None)
    if parameter is not None:
        other.to(device=parameter.device, dtype=parameter.dtype)
    for path, part in module.named_modules():
        owner, _, name = path.rpartition(".")
        if type(part) is nn.Identity and path:  # a norm around the attention that was taken out
            setattr(other.get_submodule(owner), name, part)
        else:
            _share(part, other.get_submodule(path), [name for name in tables if name.rpartition(".")[0] == path])
    give_rows(module, other, keys)
    return other


def _share(part: nn.Module, other: nn.Module, tables: Sequence[str]) -> None:
    for name, parameter in part._parameters.items():
        own = other._parameters.get(name)
        other_size = own is not None and parameter is not None and own.shape != parameter.shape
        if own is not None and parameter is not None and other_size and not any(t.endswith(name) for t in tables):
            raise TypeError(f"parameter {name} is {list(own.shape)}, and {list(parameter.shape)} in other lengths")
    other._parameters = part._parameters
    other.training = part.training
    for name in _HOOKS:
        vars(other)[name] = vars(part)[name]
    vars(other).update({name: x for name, x in vars(part).items() if type(x) is float})  # rates of dropout
