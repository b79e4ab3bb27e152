"""The last stage: what a user can reach and no property tries, each in a few words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor, nn

from mhsa.introspect.calls.partial_weights import part_of_weights
from mhsa.introspect.projections.recipe import Recipe
from mhsa.introspect.readings.unjudged_options import left_at_defaults
from mhsa.introspect.stages.built_and_called import BuiltAndCalled
from mhsa.introspect.stages.powers_of_two import LEFT
from mhsa.introspect.surroundings.inner_attention import Surroundings
from mhsa.introspect.surroundings.one_attention import OneAttention
from mhsa.introspect.unjudged_outputs import batch_norms_in_words, find_unread
from mhsa.source.kept_between_calls import left_between_calls
from mhsa.subject.adapters.function_adapter import FunctionAdapter
from mhsa.subject.adapters.module_adapter import ModuleAdapter
from mhsa.subject.docstrings.gradients import says_inference_only
from mhsa.subject.forms.given_weights import GivenWeights
from mhsa.subject.forms.numpy_class import NO_GRADIENTS, OfNumpy
from mhsa.subject.generic_inputs import generic_tensors
from mhsa.subject.guard import attempt
from mhsa.subject.subject import Subject


def with_what_is_left(
    subject: Subject, read: Subject, built: BuiltAndCalled, about_switches: Mapping[str, str],
    around: Surroundings | None, recipe: Recipe | None,
) -> Subject:  # fmt: skip
    """Return the subject with what is not judged of it.

    Args:
        subject: as it is judged.
        read: the same before it was given other widths and switches.
        built: its module, and how it is called.
        about_switches: why a switch is not judged, by name.
        around: what is left out around the attention.
        recipe: of its projections, where mhsa found them.
    """
    adapter, module = built.adapter, built.module
    unread = find_unread(subject.caller, module, built.sizes)
    parts = {each.words: part_of_weights(subject, each.part) for each in unread if each.part is not None}
    raised = subject.caller.error_without_mask(module, *generic_tensors(subject.adapter))
    fixed = adapter.fixed_dropouts(module, *built.given) if isinstance(adapter, ModuleAdapter) else ()
    inference = says_inference_only(subject.adapter) and _has_no_gradient(subject, module)
    left = (
        *read.not_judged,
        *([f"calls without a mask, which all raise ({raised})"] if raised else []),
        *left_at_defaults(read, about_switches),
        *(", ".join(filter(None, (each.words, parts.get(each.words, ("", ""))[0]))) for each in unread),
        *batch_norms_in_words(module),
        *(around.parts if around else ()),
        *(module.not_judged if isinstance(module, (GivenWeights, OfNumpy)) else ()),
        *([NO_GRADIENTS] if isinstance(adapter, FunctionAdapter) and adapter.computes_with_numpy else ()),
        *([LEFT] if subject.power_of_two_heads else ()),
        *(["masks of as many samples as queries, which its docstring allows in two shapes"] if subject.told_by_sizes else []),
        *(["gradients, as its docstring says that it is for inference alone"] if inference else ()),
        *(adapter.left if isinstance(adapter, OneAttention) else ()),
        *([left_between_calls(adapter.reset)] if adapter.reset else ()),
        *(recipe.not_judged if recipe else ()),
        *(f"the rate of {path}, which the constructor does not set" for path in fixed),
    )
    wrong = next((each.wrong for each in unread if each.wrong), "")
    of_a_part = next((f"{words}: {said}" for words, (_, said) in parts.items() if said), "")
    return replace(subject, not_judged=left, no_weights=wrong, wrong_weights=of_a_part, inference_only=inference)


def _has_no_gradient(subject: Subject, module: nn.Module) -> bool:
    """Whether the output takes no part in autograd, though inputs and parameters do, or has no backward pass."""
    tensors = generic_tensors(subject.adapter)
    given = {id(t): t.clone().requires_grad_() for t in tensors}
    query, key, value = (given[id(t)] for t in tensors)
    with torch.enable_grad():
        made, _ = attempt(lambda: subject.caller(module, query, key, value, None))
    output = None if made is None else made[0][0]
    if not isinstance(output, Tensor):
        return False
    try:
        if output.requires_grad:
            torch.autograd.grad(output.sum(), tuple(given.values()), allow_unused=True)
        return not output.requires_grad
    except NotImplementedError:
        return True
    except RuntimeError:
        return False
