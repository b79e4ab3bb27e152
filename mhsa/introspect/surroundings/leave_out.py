"""Takes the attention out of its surroundings: where they are certain, it is judged alone; a residual alone is a question."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from mhsa.introspect.surroundings.activations import activations_of
from mhsa.introspect.surroundings.find_heads import find_gated_heads, find_heads
from mhsa.introspect.surroundings.find_surroundings import find_surroundings
from mhsa.introspect.surroundings.inner_attention import InnerAttention, Surroundings, inside
from mhsa.introspect.surroundings.one_attention import OneAttention
from mhsa.records.conventions.usual_layers import is_usual, mistake_in
from mhsa.records.errors import Question
from mhsa.subject.adapters.adapter import Adapter
from mhsa.subject.adapters.module_adapter import ModuleAdapter
from mhsa.subject.generic_inputs import first_sizes


def inner_attention(adapter: Adapter, module: nn.Module, call: Callable[[], Any]) -> InnerAttention | None:
    """Return an adapter of the attention inside what ``adapter`` builds; None where nothing is around it.

    ``call`` calls ``module`` (float64, eval) once, with sizes that all differ. The contract may say that nothing is around it.
    """
    if adapter.contract.surroundings == "none" or adapter.projections(module) is not None:
        return None
    try:
        if isinstance(adapter, OneAttention):
            around = find_surroundings(module, call, adapter.others.path)
        else:
            around = find_surroundings(module, call) or find_heads(module, call) or find_gated_heads(module, call)
    except Question:
        raise
    except Exception:  # the properties will raise it again and report it
        return None
    if around is None:
        return None
    return inside(adapter, replace(around, layer=None) if guesses_a_part(adapter) else around)


def guesses_a_part(adapter: Adapter) -> bool:
    """Whether the constructor was given an identity in the place of a part, a feed-forward say: it adds its input once more."""
    constructor = adapter.constructor if isinstance(adapter, ModuleAdapter) else None
    return constructor is not None and "nn.Identity" in constructor.guessed.values()


def without_activations_of(
    adapter: Adapter, inner: InnerAttention | None, module: nn.Module, call: Callable[[], Any]
) -> InnerAttention | None:  # fmt: skip
    """Return the adapter in which activations after the maps are left out, too; None where there are none.

    ``inner`` is the adapter of the attention without its other surroundings, where it has any.
    """
    if adapter.contract.surroundings == "none" or adapter.projections(module) is not None:
        return None
    try:
        activations = activations_of(call)
    except Exception:  # the properties will raise it again and report it
        return None
    if not activations:
        return None
    text = f"{' and '.join(activations)} after the maps of queries, keys or values, which plain attention does not have"
    around = inner.around if inner is not None else Surroundings("", (), (), "left out", (), False)
    separator = ", " if inner is not None else ": "
    return inside(
        adapter,
        replace(
            around, activations=activations, text=f"{around.text}{separator}{text}", parts=(*around.parts, text), stated=False
        ),
    )


def with_dropout_of_its_own(inner: InnerAttention, call: Callable[[nn.Module], Tensor]) -> None:
    """Have the attention judged with dropout where it drops something, though every part that drops comes after it.

    ``call`` calls a module (float64) on fixed inputs and gives what its attention gives.
    """
    if not inner.around.drops_after:
        return
    after, inner.around = inner.around, replace(inner.around, drops_after=False)
    head, d_model = inner.sizes or (first_sizes(inner).head, first_sizes(inner).d_model)
    with torch.no_grad(), torch.random.fork_rng(devices=[]), contextlib.suppress(Exception):  # the properties report it
        module = inner.build_dropping(head, d_model, 0.5)
        if module is None:
            return
        module.double().train()
        first, second = call(module), call(module)
        if torch.equal(first, second):
            inner.around = replace(after, parts=(*after.parts, "dropout after the attention"))


def is_declared(adapter: InnerAttention) -> bool:
    """Whether the contract says that something is around the attention, or what."""
    return adapter.contract.surroundings == "left-out" or adapter.contract.layer is not None


def is_certain(adapter: InnerAttention) -> bool:
    """Whether the surroundings are declared, shown by parts such as a norm, or meant by nobody: a residual may be a slip."""
    return adapter.around.stated or is_declared(adapter) or bool(mistake_of(adapter.around))


def mistake_of(around: Surroundings) -> str:
    """Return what nobody means in what a layer makes of its attention; empty where there is no such thing."""
    return "" if around.layer is None else mistake_in(around.layer)


def ask_about_residual(around: Surroundings) -> Question:
    """Return the question whether a residual is meant, where the attention is exactly right without it."""
    fields = {"surroundings": "left-out"} if around.layer is None or around.activations else {"layer": str(around.layer)}
    if around.activations:
        words = f"its output is exactly right but for {around.parts[-1]}"
    elif around.pooled:
        words = f"its output has no tokens, and the attention in it is judged alone where this is {around.text}"
    elif around.layer is not None and not is_usual(around.layer):
        words = f"the attention in it is exactly right, and the layer computes {around.layer}, which is no usual form"
    elif around.parts != ("residual",):
        words = f"the attention in it is exactly right, and is judged alone where this is {around.text}"
    else:
        words = "its output is exactly right but for the residual: it adds its input to what attention gives"
    return Question(f'{words}. If that is not meant, it is wrong, which surroundings = "none" declares', fields)
