"""Which attention of a layer is given which of its masks: one that belongs to the other sequence is wrong.

The layer is called once with masks that all differ, and as many queries as keys, so that a mask of one sequence can be handed
to the attention of another. What each attention is given is compared with the names of the layer's masks; where these do not
say whose a mask is, and where a mask is combined with others, nothing is said.
"""

from __future__ import annotations

import inspect
import itertools
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace

import torch
from torch import Tensor, nn

from mhsa.introspect.layers.follow_masks import FollowMasks
from mhsa.records.conventions.masks_of_layers import MasksOfALayer, masks_of_layer, own_and_other
from mhsa.records.conventions.values import MaskShape
from mhsa.records.names import MASK, is_lengths, pick
from mhsa.subject.adapters.module_adapter import ModuleAdapter
from mhsa.subject.caller import Caller
from mhsa.subject.forms.mask_conversion import MaskForm
from mhsa.subject.forms.needless_arguments import Given
from mhsa.subject.generic_inputs import generic_sizes
from mhsa.subject.signature import Signature, call_of

_FULL: tuple[MaskShape, ...] = ("[B, Tq, Tk]", "[B, 1, Tq, Tk]", "[Tq, Tk]")
_OF_KEYS: tuple[MaskShape, ...] = ("[B, Tk]", "[B, 1, 1, Tk]", "[B, 1, Tk]")
# Of own masks, of others, and of padding: all alike, or those that say something of queries apart.
_SHAPES: tuple[tuple[MaskShape, MaskShape, MaskShape], ...] = (
    *((each, each, each) for each in (*_FULL, *_OF_KEYS)),
    *((full, of_keys, of_keys) for full in _FULL for of_keys in _OF_KEYS),
    *((full, full, of_keys) for full in _FULL for of_keys in _OF_KEYS),
)
_UNUSED = re.compile(r"unused|not (?:yet )?(?:used|supported|implemented)|ignored|\bdel\b|for (?:api )?compat", re.IGNORECASE)


def mistake_of_masks(adapter: ModuleAdapter, module: nn.Module, caller: Caller, attentions: Collection[str]) -> str | None:
    """Return which attention of a layer is given a wrong mask, in words; empty where none is, None where nothing is known.

    Args:
        adapter: of the whole layer.
        module: of generic sizes, float64 and in eval mode.
        caller: of the whole layer.
        attentions: their paths.
    """
    signature = adapter.signature
    names = _names(signature)
    if signature.key is None or signature.as_list or len(names) < 2:
        return None
    own, other = own_and_other(signature.query, signature.key)
    masks = masks_of_layer([name for name in names if not is_lengths(name)], own, other)
    if not masks.own or not masks.other or (own != signature.query and signature.value is not None):
        return None
    followed = _followed(adapter, module, caller, attentions, masks, own)
    return None if followed is None else _mistake(*followed, masks, other, call_of(type(module)))


def mistake_of_one_mask(adapter: ModuleAdapter, module: nn.Module, caller: Caller, attentions: Collection[str]) -> str | None:
    """Return the same of a module with one sequence and one mask of its keys: it may be handed on as one of queries, or not.

    Arguments are those of :func:`mistake_of_masks`.
    """
    signature = adapter.signature
    names = _names(signature)
    if signature.key is not None or signature.as_list or len(names) != 1 or is_lengths(names[0]):
        return None
    followed = _followed(adapter, module, caller, attentions, MasksOfALayer(tuple(names), (), ()), signature.query)
    if followed is None or not followed[0].attended:
        return None
    attended = followed[0].attended
    if not any(each.masks for each in attended):
        takes = (each.path for each in attended if pick(inspect.signature(each.kind.forward).parameters, MASK))
        path = "" if names[0] in followed[0].used or _is_said_to_be_unused(call_of(type(module))) else next(takes, "")
        lost = f"it hands {names[0]} to no attention: {path}, which attends to {signature.query}, is given no mask"
        return lost if path else None
    name, path = next(_turned(*followed), ("", ""))
    return f"it hands {name} to {path} with the axes of queries and keys interchanged" if name else ""


def _names(signature: Signature) -> list[str]:
    return [n for n in (signature.mask, signature.own_mask, *signature.other_masks) if n is not None]


def _followed(
    adapter: ModuleAdapter, module: nn.Module, caller: Caller, attentions: Collection[str], masks: MasksOfALayer, own: str
) -> tuple[FollowMasks, dict[str, Tensor]] | None:  # fmt: skip
    """Return what was seen in the first call of the layer that returns, and its masks [B, T, T]; None where all raise."""
    sizes = generic_sizes(adapter)
    generator = torch.Generator().manual_seed(3)
    shape = (sizes.batch, sizes.queries, sizes.module.d_model)
    query, key = (torch.randn(shape, generator=generator, dtype=torch.float64) for _ in range(2))
    was = adapter.signature
    others = [name for name in (was.query, was.key, was.value) if name is not None and name != own]
    for given, said in _masks(masks, sizes.batch, sizes.queries):
        signature = replace(
            was, mask=None, own_mask=None, other_masks=(), mask_omitted=False, key_optional=False,
            more={**was.more, **{name: _given(x) for name, x in given.items()}},
        )  # fmt: skip
        calling = replace(caller, adapter=adapter.with_signature(signature), fills_mask=False)
        follow = FollowMasks(own, others, masks.all)
        try:
            with torch.no_grad():
                follow.watch(module, attentions, lambda: calling.items(module, query, key, key, None))  # noqa: B023
        except Exception:  # masks of this form are not taken
            continue
        return follow, said
    return None


def _given(mask: Tensor) -> Given:
    return Given(lambda query: mask, "a mask")


def _masks(masks: MasksOfALayer, batch: int, length: int) -> Iterator[tuple[dict[str, Tensor], dict[str, Tensor]]]:
    """Yield masks that all differ, in each form, by their names; and what they say, True where attention is allowed."""
    generator = torch.Generator().manual_seed(5)
    says = {name: torch.rand(batch, length, length, generator=generator) < 0.5 for name in masks.all}
    for name, x in says.items():
        x |= torch.eye(length, dtype=torch.bool)  # no row is empty
        if len(masks.all) == 1:  # every query may attend to the same keys, all but the last one
            x[:], says[name][:, :, -1] = True, False
    for floating, shapes in itertools.product((False, True), _SHAPES):
        kinds = {name: 2 if "pad" in name.lower() else int(name in masks.other) for name in masks.all}
        forms = {name: MaskForm(shape=shapes[kinds[name]], floating=floating) for name in masks.all}
        yield {name: forms[name].convert(says[name], torch.float64) for name in masks.all}, says


def _mistake(
    follow: FollowMasks, says: Mapping[str, Tensor], masks: MasksOfALayer, key: str, forward: object
) -> str | None:  # fmt: skip
    own = [each for each in follow.attended if {*each.sequences} == {frozenset((follow.own,))}]
    cross = [each for each in follow.attended if each not in own and follow.own in frozenset[str]().union(*each.sequences)]
    if not own or not cross or len(own) + len(cross) != len(follow.attended):
        return None
    sides = ((cross, masks.other, masks.own, key), (own, masks.own, masks.other, follow.own))
    for calls, theirs, foreign, sequence in sides:
        got = frozenset[str]().union(*(each.given for each in calls))
        missing = [name for name in theirs if name not in got]
        for each in calls:
            given = next((names for names, _ in each.masks if names <= {*foreign}), None)
            if missing and given:
                handed = f"it hands {' and '.join(sorted(given))} to {each.path}, which attends to {sequence}"
                return f"{handed}, and {missing[0]} to no attention that does"
    for calls, theirs, _, sequence in sides:
        lost = next((name for name in theirs if name not in follow.used), None)
        bare = next((each for each in calls if not each.given), None)
        takes = bare is not None and any(each.masks and each.kind is bare.kind for each in follow.attended)
        if lost and bare and takes and not _is_said_to_be_unused(forward):
            return f"it hands {lost} to no attention: {bare.path}, which attends to {sequence}, is given no mask"
    name, path = next(_turned(follow, says), ("", ""))
    return f"it hands {name} to {path} with the axes of queries and keys interchanged" if name else ""


def _turned(follow: FollowMasks, says: Mapping[str, Tensor]) -> Iterator[tuple[str, str]]:
    """Yield the masks that an attention is given with their last axes interchanged, and its path."""
    for each in follow.attended:
        for names, x in each.masks:
            (name, *more) = names
            if not more and not _says(x, says[name]) and _says(x, says[name].mT):
                yield name, each.path


def _says(given: Tensor, mask: Tensor) -> bool:
    """Whether a mask in any form, of more axes or of other numbers, says this or its opposite."""
    if given.dim() < 2 or given.shape[-2:] != mask.shape[-2:]:
        return False
    most, said = given == given.max(), {2: mask[0], 3: mask}.get(given.dim(), mask[:, None])
    try:
        return bool((most == said).all()) or bool((most == ~said).all())
    except RuntimeError:  # of other sizes
        return False


def _is_said_to_be_unused(forward: object) -> bool:
    """Whether the source of a layer says that it leaves an argument unused."""
    try:
        return _UNUSED.search(inspect.getsource(forward)) is not None  # type: ignore[arg-type]
    except (OSError, TypeError):
        return True
