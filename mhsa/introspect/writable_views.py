"""Whether what an adapter calls the four maps are views: numbers written into them must arrive in the module's parameters.

A copy (of ``.clone()``, ``repeat_interleave``, a weight that is computed) would be filled with a case's numbers while the
module goes on with its own, and nothing that is judged then would be true of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn

from mhsa.introspect.adapter_sketch import question_text
from mhsa.records.errors import Question
from mhsa.subject.projection_views import Projections, View, lies_in


def require_views(projections: Callable[[nn.Module], Projections], module: nn.Module, where: str) -> None:
    """Write through every view and read it anew, then change the parameters and read the views; the numbers are put back.

    Args:
        projections: of a module, called anew each time.
        module: with generic parameters.
        where: the method that gives them, for messages.

    Raises:
        Question: one of them is not a matrix or vector, or not a view of a parameter.
    """
    parameters = dict(module.named_parameters())
    kept = {path: parameter.detach().clone() for path, parameter in parameters.items()}
    generator = torch.Generator().manual_seed(2)
    try:
        for name, view in projections(module).views():
            _require_shape(name, view, where)
            _require_in_parameters(name, view, parameters.values(), where)
            numbers = torch.randn(view.shape, generator=generator, dtype=torch.float64).to(view.read())
            try:
                view.write(numbers)
            except RuntimeError:  # several elements at one address, as expand() makes them
                raise _no_view(name, "several of its elements are one number in memory", where) from None
            again = dict(projections(module).views())[name]
            if not torch.equal(again.read(), numbers):
                raise _no_view(name, "numbers that are written into it do not arrive in the module", where)
        held = dict(projections(module).views())
        with torch.no_grad():
            for parameter in parameters.values():
                parameter.copy_(torch.randn(parameter.shape, generator=generator, dtype=torch.float64))
        for name, view in projections(module).views():
            if not torch.equal(held[name].read(), view.read()):
                raise _no_view(name, "it keeps its numbers when those of the parameters change", where)
    finally:
        with torch.no_grad():
            for path, numbers in kept.items():
                parameters[path].copy_(numbers)


def _require_shape(name: str, view: View, where: str) -> None:
    axes, must = (2, "[D_out, D_in]") if name.endswith("weight") else (1, "[D_out]")
    if any(piece.dim() != axes for piece in view.pieces):
        shape = list(view.pieces[0].shape)
        raise Question(question_text(f"{where}: {name} has shape {shape}; must be {must}. select() and squeeze() give views"))


def _require_in_parameters(name: str, view: View, parameters: Iterable[Tensor], where: str) -> None:
    for piece in view.pieces:
        if not any(lies_in(piece, parameter) for parameter in parameters):
            raise _no_view(name, "its memory is not that of a parameter", where)


def _no_view(name: str, why: str, where: str) -> Question:
    said = (
        f"{where}: {name} is not a view of a parameter: {why}. Return the parameter itself, or a slice, chunk, view, transpose "
        "or select of it; clone(), repeat_interleave(), contiguous(), cat() and reshape() may copy. Where several heads share "
        "a key, no view has rows for each of them: such a module cannot be described yet."
    )
    return Question(question_text(said))
