"""Which attention of a class of the file is given which mask; its attentions may be arguments of its constructor."""

from __future__ import annotations

import contextlib
import inspect
import re
import sys
import warnings
from collections.abc import Sequence
from typing import Any

from torch import nn

from mhsa.introspect.choose_adapter import as_adapter
from mhsa.introspect.layers.masks_of_layer import mistake_of_masks, mistake_of_one_mask
from mhsa.introspect.stages.built_and_called import BuiltAndCalled, build_and_call
from mhsa.introspect.surroundings.several_attentions import paths_of_attentions
from mhsa.records.names import MASK, pick
from mhsa.records.request import Request
from mhsa.source.written_code import source_of
from mhsa.subject.adapters.module_adapter import ModuleAdapter
from mhsa.subject.generic_inputs import SIZES

_ATTENTION = re.compile(r"attn|attention|mha(?![a-z])|multi_?head", re.IGNORECASE)
_FED = re.compile(r"feed_?forward|ffn?(?![a-z])|mlp", re.IGNORECASE)
_SIZE = re.compile(r"num|heads$|dim|drop|size|hidden|ratio|type|mode|^n_|^d_", re.IGNORECASE)
_NUMBERS = (bool, int, float, str, "bool", "int", "float", "str")


def mistake_in_built(whole: BuiltAndCalled, attentions: Sequence[str]) -> str | None:
    """Return which attention of a layer is given a wrong mask; empty where none is, None where nothing is known.

    ``attentions`` are the paths of those that are judged; others are found by their names.
    """
    if not isinstance(whole.adapter, ModuleAdapter):
        return None
    others = [path for path in paths_of_attentions(whole.module) if not any(_overlap(path, each) for each in attentions)]
    return mistake_of_masks(whole.adapter, whole.module, whole.caller, [*attentions, *others])


def mistakes_where_given(target: Any, alone: Request) -> dict[str, str]:
    """Return the same of classes of the file that are given two attentions or more: one of the target's class for each.

    Those of which nothing is known are left out.

    Args:
        target: the class of the attention.
        alone: the request, without anything that is declared.
    """
    owner = sys.modules.get(getattr(target, "__module__", ""))
    found: dict[str, str] = {}
    for name, kind in list(vars(owner).items()) if owner is not None and inspect.isclass(target) else ():
        own = inspect.isclass(kind) and issubclass(kind, nn.Module) and kind.__module__ == target.__module__
        with contextlib.suppress(Exception), warnings.catch_warnings():  # it may be no layer that can be built and called so
            warnings.simplefilter("ignore")
            mistake = _where_given(kind, target, alone) if own and kind is not target else None
            found |= {} if mistake is None else {name: mistake}
    return found


def mistakes_of_one_mask(kinds: Sequence[Any], alone: Request) -> dict[str, str]:
    """Return the same of classes of the file in which attentions of some classes stand, that take one sequence and its mask.

    Those of which nothing is known are left out, as what embeds tokens is: it is given no sequence of features.
    """
    classes = tuple(kind for kind in kinds if inspect.isclass(kind))
    owner = sys.modules.get(getattr(classes[0], "__module__", "")) if classes else None
    found: dict[str, str] = {}
    for name, kind in list(vars(owner).items()) if owner is not None else ():
        own = inspect.isclass(kind) and issubclass(kind, nn.Module) and kind.__module__ == classes[0].__module__
        if not own or issubclass(kind, classes) or pick(inspect.signature(kind.forward).parameters, MASK) is None:
            continue
        with contextlib.suppress(Exception), warnings.catch_warnings():  # it may be nothing that can be built and called so
            warnings.simplefilter("ignore")
            if "Embedding(" in source_of(kind):
                continue
            whole = build_and_call(as_adapter(kind, alone.label), kind, alone, whole=True)
            paths = [path for path, part in whole.module.named_modules() if isinstance(part, classes)]
            if paths and isinstance(whole.adapter, ModuleAdapter):
                mistake = mistake_of_one_mask(whole.adapter, whole.module, whole.caller, paths)
                found |= {} if mistake is None else {name: mistake}
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
