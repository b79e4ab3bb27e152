"""A layer with several attentions, as a decoder has: one of them is judged, which the contract's ``attention`` names.

It is called through the layer: what the layer gives it, its masks included, is judged with it. The others give zeros, or
what they are given, so that its inputs are those of the layer; norms before it are taken out.
"""

from __future__ import annotations

import copy
import functools
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from torch import nn

from mhsa.introspect.calls.call_returns import returns
from mhsa.introspect.calls.find_call import find_call
from mhsa.introspect.calls.find_mask_shape import forms_of_mask
from mhsa.introspect.calls.generic_module import randomised
from mhsa.introspect.layers.layer_formula import layer_formula
from mhsa.introspect.layers.masks_of_layer import mistake_of_masks
from mhsa.introspect.layers.same import same
from mhsa.introspect.projections.search.layers import is_norm
from mhsa.introspect.surroundings.find_surroundings import is_a_head, is_called_attention
from mhsa.introspect.surroundings.one_attention import OneAttention, Others, prepare
from mhsa.introspect.surroundings.watched_call import PartCall, watch
from mhsa.records.conventions.layer import Sum
from mhsa.records.declarations import in_words
from mhsa.records.errors import Question
from mhsa.subject.adapters.module_adapter import ModuleAdapter
from mhsa.subject.caller import Caller
from mhsa.subject.forms.needless_arguments import NONE, Given
from mhsa.subject.generic_inputs import first_sizes, generic_tensors
from mhsa.subject.signature import Signature

_QUERY = Given(lambda query: query, "query")
_OF_KEYS = re.compile("memory|cross|enc|context|source|src|kv", re.IGNORECASE)


@dataclass(frozen=True)
class _Found:
    """An attention of a layer whose inputs are those of the layer, and what has to be done for that."""

    path: str
    others: Others
    of_keys: bool  # it attends to the second input


def one_of_several(adapter: ModuleAdapter, module: nn.Module, caller: Caller, spec: str) -> OneAttention | None:
    """Return the adapter of the declared attention of a layer; None where the layer has at most one.

    Args:
        adapter: of the layer.
        module: of generic sizes, float64 and in eval mode.
        caller: of the whole layer.
        spec: that names the class of the layer; empty where none does.

    Raises:
        Question: there are several, and none of them is declared; or what is declared is none of them.
    """
    declared, paths = adapter.contract.attention, paths_of_attentions(module)
    if declared is None and (type(adapter) is not ModuleAdapter or len(paths) < 2 or _are_heads(adapter, caller, paths)):
        return None
    found = list(_found(adapter, caller, paths))
    if declared is None:
        if not found:
            return None
        each = [{"attention": one.path} for one in found]
        words = f"it has several attentions ({', '.join(paths)}), of which one is judged at a time"
        raise Question(f"{words}: {' or '.join(map(in_words, each))}", each[0], [f"{spec}.{one.path}" for one in found if spec])
    chosen = next((each for each in found if each.path == declared), None)
    if chosen is None:
        listed = ", ".join(each.path for each in found) or "none"
        raise Question(f"attention = {declared!r} is declared, and the attentions that can be judged alone are: {listed}")
    one = _adapter(adapter, chosen, module, [path for path in paths if path != chosen.path])
    one.layer = None if chosen.others.passing else _layer(adapter, caller, paths)
    one.masks = mistake_of_masks(adapter, module, caller, paths)
    return one


def _layer(adapter: ModuleAdapter, caller: Caller, paths: list[str]) -> Sum | None:
    """Return the formula of the whole layer, with all of its attentions; None where it is not known, or norms are in these."""
    sizes = first_sizes(adapter)
    module = randomised(adapter.build(sizes.head, sizes.d_model), adapter.name)
    if any(is_norm(part) for path in paths for part in module.get_submodule(path).modules()):
        return None  # and residuals, too
    attentions = dict.fromkeys(paths, "attention")
    return layer_formula(module, lambda: caller.items(module, *generic_tensors(caller.adapter), None), attentions)


def paths_of_attentions(module: nn.Module) -> list[str]:
    """Return the paths of the parts that are called like an attention and have maps, without parts of such parts."""
    found: list[str] = []
    for path, part in module.named_modules():
        called = is_called_attention(path, part)
        inside = any(path.startswith(f"{other}.") for other in found)
        if path and called and not inside and not is_norm(part) and any(p.dim() > 1 for p in part.parameters()):
            found.append(path)
    return found


def _are_heads(adapter: ModuleAdapter, caller: Caller, paths: list[str]) -> bool:
    """Whether the attentions are the heads of one: of one list, and given the same tensors."""
    sizes = first_sizes(adapter)
    module = randomised(adapter.build(sizes.head, sizes.d_model), adapter.name)
    try:
        _, calls = _watched(module, caller)
    except Exception:  # it cannot be called so
        return False
    lists = {path.rpartition(".")[0] for path in paths}
    of_a_list = len(lists) == 1 and isinstance(module.get_submodule(*lists), nn.ModuleList)
    if of_a_list and len({c.path for c in calls} & {*paths}) == 1:  # one is called in the place of all
        return True
    return all(is_a_head(call, calls) for call in calls if call.path in paths)


def _found(adapter: ModuleAdapter, caller: Caller, paths: list[str]) -> Iterator[_Found]:
    """Yield the attentions whose inputs can be made those of the layer, each with the way to do so."""
    sizes = first_sizes(adapter)
    for path in paths:
        for passing in (False, True):
            silent = tuple(other for other in paths if other != path)
            others = Others(path, silent, passing, ())
            module = randomised(adapter.build(sizes.head, sizes.d_model), adapter.name)
            try:
                prepare(module, others)
                whole, calls = _watched(module, caller)
                others = replace(others, norms=_norms(calls, whole, path))
                prepare(module, replace(others, silent=()))
                whole, calls = _watched(module, caller)
            except Exception:  # the layer cannot be called so
                continue
            given = next((c.given for c in calls if c.path == path), ())
            tokens = [x for x in given if x.is_floating_point() and x.shape[-1] == whole.given[0].shape[-1]]
            inputs = [x for x in whole.given if x.is_floating_point()]
            if tokens and same(tokens[0], inputs[0]) and all(any(same(x, y) for y in inputs) for x in tokens):
                yield _Found(path, others, any(not same(x, inputs[0]) for x in tokens))
                break


def _watched(module: nn.Module, caller: Caller) -> tuple[PartCall, list[PartCall]]:
    calls, _ = watch(module, lambda: caller.items(module, *generic_tensors(caller.adapter), None))
    return next(c for c in calls if c.path == ""), calls


def _norms(calls: list[PartCall], whole: PartCall, path: str) -> tuple[str, ...]:
    """Return the norms that inputs of the layer go through before the attention."""
    paths = []
    for call in calls:
        if call.path == path:
            break
        if is_norm(call.part) and any(same(call.given[0], x) for x in whole.given):
            paths.append(call.path)
    return tuple(dict.fromkeys(paths))


def _adapter(adapter: ModuleAdapter, chosen: _Found, module: nn.Module, others: list[str]) -> OneAttention:
    """Return the adapter of one attention: with the inputs that it has, and the first mask of its own that is taken."""
    masks = _masks(adapter.signature, of_keys=chosen.of_keys)
    made = [_with_mask(adapter, chosen, mask, [m for m in masks if m != mask], others) for mask in masks]
    sizes = first_sizes(adapter)
    for one in made:
        if _takes_its_mask(one, randomised(one.build(sizes.head, sizes.d_model), one.name)):
            return one
    return _with_mask(adapter, chosen, None, [], others)


def _masks(signature: Signature, *, of_keys: bool) -> list[str]:
    """Return the masks that are those of an attention, by their names: of the queries' sequence, or of the keys'."""
    names = dict.fromkeys(n for n in (signature.mask, signature.own_mask, *signature.other_masks) if n is not None)
    return [name for name in names if _is_of_keys(name, signature) == of_keys]


def _is_of_keys(name: str, signature: Signature) -> bool:
    for argument, answer in ((signature.query, False), (signature.key, True)):
        if argument is not None and len(argument) > 1 and name.startswith(f"{argument}_"):
            return answer
    return _OF_KEYS.search(name) is not None


def _with_mask(adapter: ModuleAdapter, chosen: _Found, mask: str | None, more: list[str], others: list[str]) -> OneAttention:
    was = adapter.signature
    every = {n for n in (was.mask, was.own_mask, *was.other_masks) if n is not None}
    left = tuple(n for n in every if n != mask and n not in more)
    given = {name: x for name, x in was.more.items() if name not in (mask, *more)}
    if was.mask in left and was.mask_required:
        given[was.mask] = NONE
    key = was.key if chosen.of_keys else None
    if was.key is not None and key is None and not was.key_optional:
        given[was.key] = _QUERY
    names = (*was.not_given, *([was.key] if was.key is not None and key is None else []), *left)
    signature = replace(
        was, key=key, mask=mask, mask_required=was.mask_required and mask == was.mask, own_mask=None, other_masks=tuple(more),
        key_optional=False, guessed=False, mask_omitted=False, more=given,
        not_given=tuple(dict.fromkeys(n for n in names if n not in (mask, *more))),
    )  # fmt: skip
    return OneAttention(copy.copy(adapter).with_signature(signature), chosen.others, others)


def _takes_its_mask(adapter: ModuleAdapter, module: nn.Module) -> bool:
    query, key, value = generic_tensors(adapter)
    everything = torch.ones(query.size(0), query.size(1), key.size(1), dtype=torch.bool)
    try:
        caller = find_call(adapter, module)
    except Exception:
        return False
    calls = [
        functools.partial(form, module, query, key, value, form.convert(everything, query.dtype, first_sizes(adapter).head))
        for shape in (adapter.contract.mask_shape, "[Tq, Tk]")
        for form in forms_of_mask(replace(caller, contract=replace(caller.contract, mask_shape=shape)))
    ]
    return any(map(returns, calls))
