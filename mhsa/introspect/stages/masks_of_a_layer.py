"""Which attention of a class of the file is given which mask; its attentions may be arguments of its constructor."""

from __future__ import annotations

import contextlib
import functools
import inspect
import re
import sys
import warnings
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from torch import nn

from mhsa.introspect.choose_adapter import as_adapter
from mhsa.introspect.layers.masks_of_layer import mistake_of_masks, mistake_of_one_mask
from mhsa.introspect.stages.built_and_called import BuiltAndCalled, build_and_call
from mhsa.introspect.surroundings.several_attentions import paths_of_attentions
from mhsa.records.names import MASK, pick
from mhsa.records.request import Request
from mhsa.source.written_code import classes_of, source_of
from mhsa.subject.adapters.module_adapter import ModuleAdapter
from mhsa.subject.generic_inputs import SIZES

_ATTENTION = re.compile(r"attn|attention|mha(?![a-z])|multi_?head", re.IGNORECASE)
_FED = re.compile(r"feed_?forward|ffn?(?![a-z])|mlp", re.IGNORECASE)
_SIZE = re.compile(r"num|heads$|dim|drop|size|hidden|ratio|type|mode|^n_|^d_", re.IGNORECASE)
_NUMBERS = (bool, int, float, str, "bool", "int", "float", "str")


def mistake_in_built(whole: BuiltAndCalled, attentions: Sequence[str]) -> str | None:
    """Return which attention of a layer is given a wrong mask; empty where none is, None where nothing is known.

    ``attentions`` are the paths of those that are judged; of a layer with two sequences others are found by their names.
    """
    if not isinstance(whole.adapter, ModuleAdapter):
        return None
    others = [path for path in paths_of_attentions(whole.module) if not any(_overlap(path, each) for each in attentions)]
    mistake = mistake_of_masks(whole.adapter, whole.module, whole.caller, [*attentions, *others])
    if mistake is not None or not attentions:
        return mistake
    return mistake_of_one_mask(whole.adapter, whole.module, whole.caller, attentions)


def mistakes_where_given(target: Any, alone: Request) -> dict[str, str]:
    """Return the same of classes of the file that are given two attentions or more: one of the target's class for each.

    Those of which nothing is known are left out.

    Args:
        target: the class of the attention.
        alone: the request, without anything that is declared.
    """
    file = sys.modules.get(getattr(target, "__module__", "")) if inspect.isclass(target) else None
    kinds = classes_of(file) if file is not None else {}
    return _known({n: kind for n, kind in kinds.items() if kind is not target}, lambda kind: _where_given(kind, target, alone))


def mistakes_of_models(kinds: Sequence[Any], others: Collection[str], alone: Request) -> dict[str, str]:
    """Return the same of classes of the file in which attentions of some classes stand, and that take a mask.

    Those of which nothing is known are left out, as what embeds tokens is: it is given no sequence of features.

    Args:
        kinds: classes of attentions, all of one file.
        others: names of classes that are known already.
        alone: the request, without anything that is declared.
    """
    classes = tuple(kind for kind in kinds if inspect.isclass(kind))
    file = sys.modules.get(getattr(classes[0], "__module__", "")) if classes else None
    models = {n: kind for n, kind in classes_of(file).items() if n not in others} if file is not None else {}

    def mistake(kind: Any) -> str | None:
        masked = pick(inspect.signature(kind.forward).parameters, MASK) is not None
        if issubclass(kind, classes) or not masked or "Embedding(" in source_of(kind):
            return None
        # To find out how it is called takes far longer.
        if not any(issubclass(part, classes) for part in _kinds_of_parts(kind)):
            return None
        whole = build_and_call(as_adapter(kind, alone.label), kind, alone, whole=True)
        attentions = [path for path, part in whole.module.named_modules() if isinstance(part, classes)]
        return mistake_in_built(whole, attentions) if attentions else None

    return _known(models, mistake)


@functools.lru_cache(256)  # of a file whose classes are judged one after the other, each would build all others every time
def _kinds_of_parts(kind: type[nn.Module]) -> frozenset[type]:
    """Return the classes of all modules in what a class builds; none where it cannot be built."""
    with contextlib.suppress(Exception):
        adapter = as_adapter(kind, kind.__name__)
        return frozenset(map(type, adapter.build(*(adapter.sizes or (SIZES.head, SIZES.d_model))).modules()))
    return frozenset()


def _known(kinds: Mapping[str, Any], mistake: Callable[[Any], str | None]) -> dict[str, str]:
    """Return the mistakes of those modules among some classes of which one is known."""
    found: dict[str, str] = {}
    for name, kind in kinds.items():
        with contextlib.suppress(Exception), warnings.catch_warnings():  # it may be nothing that can be built and called so
            warnings.simplefilter("ignore")
            said = mistake(kind) if issubclass(kind, nn.Module) else None
            found |= {} if said is None else {name: said}
    return found


def _where_given(kind: type[nn.Module], target: Any, alone: Request) -> str | None:
    parts = [name for name, p in inspect.signature(kind).parameters.items() if _is_a_part(p)]
    names = [name for name in parts if _ATTENTION.search(name)]
    if len(names) < 2:
        return None
    attention = as_adapter(target, alone.label)
    given: dict[str, nn.Module] = {name: nn.Identity() for name in parts if _FED.search(name)}
    given |= {name: attention.build(SIZES.head, SIZES.d_model) for name in names}
    whole = build_and_call(as_adapter(kind, alone.label, given), kind, alone, whole=True)
    paths = [path for path, part in whole.module.named_modules() if any(part is given[name] for name in names)]
    return mistake_in_built(whole, paths)


def _is_a_part(parameter: inspect.Parameter) -> bool:
    """Whether a parameter of a constructor must be given a part, by its name and its annotation."""
    required = parameter.default is parameter.empty and parameter.kind is not parameter.VAR_KEYWORD
    return required and _SIZE.search(parameter.name) is None and parameter.annotation not in _NUMBERS


def _overlap(a: str, b: str) -> bool:
    return f"{a}.".startswith(f"{b}.") or f"{b}.".startswith(f"{a}.")
