"""Tables of biases of windows: a module for each window has its rows of one table, that of the largest window."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from mhsa.oracle.formula.tables.windows import COUNT, rows_of, window_of
from mhsa.subject.construction.argument_roles import LENGTH, tokens_of_call

_TABLES = "_mhsa_tables"  # attribute of a module: the axis of each of its parameters that is a table, by its path
_OTHER = 9  # 3 x 3
_SOME = 6  # 3 x 2


def window_of_call() -> tuple[int, int]:
    """Return height and width of the window of the call that a module is built for; of some, where it is for none."""
    tokens = tokens_of_call()
    return window_of(_SOME if tokens == LENGTH else tokens)


def with_largest_tables(module: nn.Module, tokens: int, build: Callable[[int], nn.Module]) -> nn.Module:
    """Give a module that is built for so many tokens the table of the largest window, and note where it is.

    A parameter is a table if one axis alone differs between windows, and is (2 h - 1)(2 w - 1) in both.
    """
    with torch.random.fork_rng(devices=[]):
        other = build(_OTHER)
    of_other = dict(other.named_parameters())
    sizes = tuple(len(rows_of(window_of(n))) for n in (tokens, _OTHER))
    axes = {}
    for path, parameter in module.named_parameters():
        pairs = list(zip(parameter.shape, of_other[path].shape, strict=True)) if path in of_other else []
        differing = [axis for axis, (one, two) in enumerate(pairs) if one != two]
        if len(differing) == 1 and pairs[differing[0]] == sizes:
            axes[path] = differing[0]
    for path, axis in axes.items():
        owner, _, name = path.rpartition(".")
        part = module.get_submodule(owner)
        shape = list(part._parameters[name].shape)  # type: ignore[union-attr]
        shape[axis] = COUNT
        part._parameters[name] = nn.Parameter(torch.zeros(shape))
    vars(module)[_TABLES] = axes
    return module


def tables_of(module: nn.Module) -> dict[str, int]:
    """Return the axis of each table, by its path; none where a module has no windows."""
    found: dict[str, int] = vars(module).get(_TABLES, {})
    return found


def give_rows(module: nn.Module, other: nn.Module, tokens: int) -> None:
    """Have the module for a window take its rows of the tables; gradients go to these."""
    for path, axis in tables_of(module).items():
        owner, _, name = path.rpartition(".")
        table, part = module.get_submodule(owner)._parameters[name], other.get_submodule(owner)
        assert table is not None
        rows: Tensor = table.index_select(axis, torch.from_numpy(rows_of(window_of(tokens))).to(table.device))
        part._parameters = {n: p for n, p in part._parameters.items() if n != name}
        vars(part)[name] = rows
