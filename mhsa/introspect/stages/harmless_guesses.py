"""A value that was guessed and changes nothing: with any other the module gives the same, so nothing else can be meant."""

from __future__ import annotations

import ast
import functools
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from mhsa.introspect.calls.generic_module import randomised
from mhsa.introspect.stages.built_and_called import BuiltAndCalled
from mhsa.subject.adapters.module_adapter import ModuleAdapter
from mhsa.subject.construction.argument_use import use_of
from mhsa.subject.generic_inputs import generic_tensors

_UNREADABLE = object()


def changes_nothing(name: str, built: BuiltAndCalled, target: Any, stated: Callable[[Any], ModuleAdapter]) -> bool:
    """Return whether a module is the same function of its inputs and parameters with every other value that is tried.

    The others are the words that the source allows, True for False, and other numbers. An argument that decides how
    parameters are drawn is of this kind, as is a width that is only stored; where a class was guessed, nothing is known.

    Args:
        name: of the argument, ``config.NAME`` for an attribute of a configuration.
        built: the module, with the guess.
        target: the class or factory.
        stated: returns the adapter with a value of this argument stated.
    """
    adapter = built.adapter
    constructor = adapter.constructor if isinstance(adapter, ModuleAdapter) else None
    guess = _value(constructor.guessed[name]) if constructor is not None else _UNREADABLE
    if guess is _UNREADABLE and constructor is not None:
        guess = constructor.arguments(*built.given, 0.0).get(name, _UNREADABLE)
    others = _others(guess, use_of(target, name.rpartition(".")[2]).words)
    answers = [same for value in others if (same := _is_same(built, functools.partial(stated, value))) is not None]
    return bool(answers) and all(answers)


def _value(words: str) -> Any:
    try:
        return ast.literal_eval(words)
    except (ValueError, SyntaxError):  # a role: a width, say
        return _UNREADABLE


def _others(guess: Any, words: tuple[str, ...]) -> list[Any]:
    if isinstance(guess, str):
        return [word for word in words if word != guess]
    if isinstance(guess, bool):
        return [not guess]
    return [guess * 2, guess * 3] if isinstance(guess, (int, float)) else []


def _is_same(built: BuiltAndCalled, make: Callable[[], ModuleAdapter]) -> bool | None:
    """Return whether another module gives the same bits with the same parameters; None where it cannot be built."""
    adapter = built.adapter
    assert isinstance(adapter, ModuleAdapter)
    try:
        other = make().with_signature(adapter.signature)
        module = randomised(other.build(*built.given), "the subject")
    except Exception:
        return None
    if _shapes(module) != _shapes(built.module):
        return False
    tensors = generic_tensors(adapter)
    try:
        with torch.no_grad():
            output = replace(built.finite, adapter=other)(module, *tensors, None)[0]
            return torch.equal(output, built.output(*tensors))
    except Exception:  # it cannot be called with this value, so that the value matters
        return False


def _shapes(module: nn.Module) -> list[tuple[str, torch.Size]]:
    return [(name, parameter.shape) for name, parameter in module.named_parameters()]
