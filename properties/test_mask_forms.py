"""One mask in many forms: dtypes, shapes and memory layouts that are accepted must mean the same."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np
import torch
from hypothesis import given
from torch import Tensor

from mhsa.judge.budget import light
from mhsa.judge.drawing.choices import one_of
from mhsa.judge.strategies import cases
from mhsa.records.case import Case
from mhsa.subject import check
from mhsa.subject.adapters.function_adapter import FunctionAdapter
from mhsa.subject.answer import Mask
from mhsa.subject.docstrings.mask_shapes import has_heads, has_queries_by_keys_alone, says_shared_by_heads
from mhsa.subject.docstrings.mask_values import says_nonzero, says_nonzero_floats
from mhsa.subject.forms.heads_function import usual_form
from mhsa.subject.guard import attempt
from mhsa.subject.memory_layout import ALL_LAYOUTS, lay_out, numbers
from mhsa.subject.required_mask_forms import must_take
from mhsa.subject.subject import Subject
from mhsa.subject.trial import Trial

FLOATING = ("", "float32", "float64", "float16")  # dtypes of masks; "" is the data's


# What is true where every number but zero is: another bit than the first, all bits, the sign; a half, which int() makes zero.
TRUE = {"uint8": (1, 2, 255), "int32": (1, 2, -1), "int64": (1, 256, -1)}
TRUE_FLOATS = (1.0, 0.5, 2.0, -1.0)


def of_other_numbers(trial: Trial, dtype: torch.dtype, numbers_: tuple[float, ...]) -> Tensor:
    """Return the case's mask with numbers other than 1 for what is true in it, all of them where there are enough places."""
    assert trial.mask is not None
    form = trial.convert(trial.mask) != 0
    first = trial.case.seed
    drawn = [numbers_[(first + n) % len(numbers_)] for n in range(form.numel())]
    return torch.tensor(drawn, dtype=dtype, device=form.device).reshape(form.shape) * form.to(dtype)


def ask_with(trial: Trial, form: Tensor, what: str, mask: Mask) -> bool:
    """Call with a mask in another form, which means ``mask``; return False where it is refused.

    An output of another shape counts as a refusal: it cannot be overlooked.
    """
    q, k, v, _ = trial.last_tensors
    with torch.set_grad_enabled(trial.case.grad):
        result, _ = attempt(lambda: trial.call_unchecked(q, k, v, form))
    if result is None:
        return False
    output = result[0][0]
    required = trial(mask=mask)
    if not isinstance(output, Tensor) or output.shape != required.output.shape:
        return False
    check.within(f"output with {what}", numbers(output), required.expected.output, required.judged)
    return True


@light
@given(case=cases(masks=("padding", "random", "causal")), dtype=one_of(("uint8", "int32", "int64")))
def test_integers_mean_what_bools_mean(subject: Subject, case: Case, dtype: str) -> None:
    """A mask of integers 0 and 1 is refused, or means what the mask of bools means.

    Statement: O(q, k, v, M as integers) = O(q, k, v, M), or an error. Where a docstring says that every number but zero means
        the same, 1 may be 2, 255, 256 or -1 instead.
    Requires: masks of bools; an additive mask holds no integers. For a subject that promises integers, or takes them.
    Source: A19, P22; mlverse/torch#1205 (kinds of masks mixed up), pytorch/pytorch#100315.
    Breaks it: ~mask on integers, where ~1 is -2 and counts as true; integers added to the scores; mask == 1 for any number
        but zero.
    """
    if subject.contract.mask in ("additive", "lengths") or subject.caller.float_masks:
        check.inapplicable("needs masks of bools, and the subject takes floating ones or lengths")
    trial = Trial(subject, case)
    trial()  # places the tensors
    assert trial.mask is not None
    if must_take(subject, "integers", dtype, case.dtype, lambda form, mask: (form.to(getattr(torch, dtype)), mask)):
        ask_with(trial, trial.convert(trial.mask).to(getattr(torch, dtype)), f"a mask of {dtype}", trial.mask)
    if says_nonzero(subject.adapter):
        ask_with(trial, of_other_numbers(trial, getattr(torch, dtype), TRUE[dtype]), f"other {dtype} than 1", trial.mask)


@light
@given(case=cases(masks=("padding", "random", "causal")), dtype=one_of(FLOATING))
def test_a_floating_mask_is_one_of_two_things(subject: Subject, case: Case, dtype: str) -> None:
    """A floating mask of 0 and 1 is refused, means what the mask of bools means, or is added to the scores.

    Statement: O(q, k, v, M as numbers) is O(q, k, v, M), or attention with scores Q K^T / sqrt(d_k) + M, or an error; M in
        the dtype of the data or in another. Where masks are floating anyway: in another dtype they mean the same, or an error.
        Where a docstring says of such masks that every number but zero means the same, 0.5, 2 and -1 mean what 1 does.
    Requires: masks of bools, or floating ones. For a subject that promises such masks, or takes them.
    Source: A19, P22; pytorch/pytorch#107084: a fast path turned an additive mask into a mask of bools; #191612: one of float32
        was read as if it were of the data's dtype.
    Breaks it: a floating mask rounded, cut off or taken for its opposite; one that is multiplied with the scores; one whose
        memory is read in another dtype.
    """
    floating = subject.contract.mask == "additive" or subject.caller.float_masks
    nonzero = subject.contract.mask not in ("additive", "lengths") and says_nonzero_floats(subject.adapter)
    if subject.contract.mask == "lengths" or (subject.contract.mask != "allowed" and not floating and not nonzero):
        check.inapplicable("needs masks of bools that are true where attention is allowed, or floating ones")
    trial = Trial(subject, case)
    trial()
    assert trial.mask is not None
    other = getattr(torch, dtype or ("float32" if floating else case.dtype))
    if nonzero:
        ask_with(trial, of_other_numbers(trial, other, TRUE_FLOATS), "a floating mask of numbers other than 1", trial.mask)
        if subject.contract.mask != "allowed":
            return
    if not must_take(subject, "floating", dtype, case.dtype, lambda form, mask: (form.to(other), mask), added=not floating):
        return
    if floating:  # 0, 1 and -inf are the same number in every dtype
        form = trial.convert(trial.mask)
        ask_with(trial, form.to(other), f"a mask of {dtype or 'float32'}", trial.mask)
        return
    form = trial.convert(trial.mask).to(other)
    q, k, v, _ = trial.last_tensors
    result, _ = attempt(lambda: trial.call_unchecked(q, k, v, form))
    required = trial(mask=trial.mask)
    if result is None or result[0][0].shape != required.output.shape:
        return
    got = numbers(result[0][0])
    added = trial.expect(bias=trial.mask.astype(np.float64)).output
    with np.errstate(invalid="ignore"):
        if bool((np.abs(got - added.value) <= added.error).all()):
            return
    check.within("output with a floating mask of 0 and 1", got, required.expected.output, required.judged)


@light
@given(case=cases(masks=("padding", "random", "causal"), min_batch=2, min_head=2, min_queries=2, min_keys=2))
def test_broadcast_shapes_mean_the_same(subject: Subject, case: Case) -> None:
    """A mask with axes left out or of size 1 is refused, or means itself repeated along them.

    Statement: for M that does not depend on the sample, the query or either: O(q, k, v, M in a shape with 1 or without that
        axis) = O(q, k, v, M repeated), or an error. Shapes tried: [Tq, Tk], [1, Tq, Tk], [B, 1, Tk], and those with an axis
        for the heads, of sizes that differ so that no shape can be taken for another. Where a docstring gives it the shape
        [Tq, Tk], and none of samples and keys, that one also with as many samples as queries.
    Requires: masks [B, Tq, Tk] or [B, 1, Tq, Tk]. For a subject that promises to raise at shape mismatches or to broadcast
        masks; for any other in the shapes that it takes: those in which it reads small masks that hide something as meant.
    Source: A19, P22; keras PR#20488 (wrongly expanded), pytorch/pytorch#97409.
    Breaks it: a batch axis read as heads (graph-transformer-pytorch PR#2), a mask repeated along the wrong axis.
    """
    if subject.contract.mask_shape not in ("[B, Tq, Tk]", "[B, 1, Tq, Tk]"):
        check.inapplicable("needs masks with axes for the samples and the queries, and none for the heads")
    # Sizes that all differ: [Tq, Tk] cannot be [B, Tk], nor [B, Tq, Tk] be [H, Tq, Tk].
    sizes: dict[str, int] = {"batch": case.batch, "query_length": case.query_length, "key_length": case.key_length}
    taken = {1, case.head}
    for name, size in sizes.items():
        while size in taken:
            size += 1
        sizes[name] = size
        taken.add(size)
    if case.tie == "all":
        sizes["key_length"] = sizes["query_length"]
    case = case.resized(**sizes)
    trial = Trial(subject, case)
    trial()
    assert trial.mask is not None
    whole = trial.convert(trial.mask)
    for name, change in SHAPES.items():
        if must_take(subject, "shape", name, case.dtype, partial(change, case.head)):
            form, meaning = change(case.head, whole, trial.mask)
            ask_with(trial, form, f"a mask of shape {list(form.shape)}", meaning)
    if has_queries_by_keys_alone(subject.adapter):
        trial = Trial(subject, case.resized(batch=case.query_length))
        trial()
        assert trial.mask is not None
        form, meaning = without_batch(case.head, trial.convert(trial.mask), trial.mask)
        form = form.reshape(form.shape[-2:])
        ask_with(trial, form, f"a mask of shape {list(form.shape)} and as many samples as queries,", meaning)


def of_every_sample(_: int, whole: Tensor, mask: Mask) -> tuple[Tensor, Mask]:
    """[1, ..., Tq, Tk]."""
    return whole[:1], np.broadcast_to(mask[:1], mask.shape).copy()


def without_batch(_: int, whole: Tensor, mask: Mask) -> tuple[Tensor, Mask]:
    """[..., Tq, Tk]."""
    return whole[0], np.broadcast_to(mask[:1], mask.shape).copy()


def of_every_query(_: int, whole: Tensor, mask: Mask) -> tuple[Tensor, Mask]:
    """[B, ..., 1, Tk]."""
    return whole[..., :1, :], np.broadcast_to(mask[:, :1], mask.shape).copy()


def with_heads(head: int, whole: Tensor, mask: Mask) -> tuple[Tensor, Mask]:
    """[B, H, Tq, Tk], or [B, 1, Tq, Tk] where masks have no axis for the heads."""
    return (whole.expand(-1, head, -1, -1) if whole.dim() == 4 else whole.unsqueeze(1)), mask


SHAPES: dict[str, Callable[[int, Tensor, Mask], tuple[Tensor, Mask]]] = {
    f.__name__: f for f in (of_every_sample, without_batch, of_every_query, with_heads)
}


HIDING = -1e4  # a weight of exp(-1e4) is zero in every format, and scores of these data are some tens


@light
@given(case=cases(masks=("random",), min_head=2, min_keys=2, data=("integers", "normal", "ties"), small=True))
def test_each_head_has_its_own_mask(subject: Subject, case: Case) -> None:
    """Where masks have an axis of the heads, each head obeys its own.

    Statement: |O - o| <= B with head h's softmax over the keys that M_bhij allows, another random mask for each head.
    Requires: masks [B, H, Tq, Tk] or [B*H, Tq, Tk], or a docstring that gives the mask an axis of the heads.
    Source: P02, A19; torch's attn_mask [B*H, Tq, Tk].
    Breaks it: the first head's mask taken for all heads, what any head may see allowed to all, samples and heads exchanged.
    """
    shape = subject.contract.mask_shape
    of_heads = shape in ("[B, H, Tq, Tk]", "[B*H, Tq, Tk]") and not says_shared_by_heads(subject.adapter)
    if not of_heads and not (shape in ("[B, Tq, Tk]", "[B, 1, Tq, Tk]") and has_heads(subject.adapter)):
        check.inapplicable("needs masks with an axis for the heads, and nothing says that each may have its own")
    if isinstance(subject.adapter, FunctionAdapter) and not usual_form(subject.adapter.form):
        check.inapplicable("needs a function that takes masks as they are")
    if subject.contract.softcap is not None:
        check.inapplicable("needs scores that no soft cap changes")
    trial = Trial(subject, case)
    trial()
    masks = [trial.opened(replace(case, seed=case.seed + h).allowed()) for h in range(case.head)]
    shown = np.stack([m for m in masks if m is not None], axis=1)
    forms = [trial.convert(m) for m in masks if m is not None]
    if shape == "[B*H, Tq, Tk]":
        split = [form.unflatten(0, (case.batch, case.head))[:, h] for h, form in enumerate(forms)]
        form = torch.stack(split, dim=1).flatten(0, 1)
    else:
        form = torch.cat([form[:, :1] if form.dim() == 4 else form.unsqueeze(1) for form in forms], dim=1)
    q, k, v, _ = trial.last_tensors
    result, raised = attempt(lambda: trial.call_unchecked(q, k, v, form))
    if result is None:
        if shape in ("[B, Tq, Tk]", "[B, 1, Tq, Tk]"):
            check.inapplicable(f"needs masks with an axis for the heads; a call with one raises {raised}")
        check.fail(f"a mask {list(form.shape)} raises {raised}, but must be taken", what="call")
    required = trial.expect(bias=np.where(shown, 0.0, HIDING)).output
    output = numbers(result[0][0])
    if output.shape != required.value.shape:
        check.fail(f"output has shape {list(output.shape)} with a mask {list(form.shape)}", what="output")
    check.within("output with a mask for each head", output, required)


@light
@given(
    case=cases(masks=("padding", "random", "causal", "broadcast")),
    layout=one_of(ALL_LAYOUTS[1:]),
)
def test_memory_layouts_mean_the_same(subject: Subject, case: Case, layout: str) -> None:
    """How a mask lies in memory does not matter: transposed, cut out of a larger one, or expanded with stride 0.

    Statement: O(q, k, v, M) depends on the numbers of M only.
    Requires: masks. Every subject is held to this: strides are no part of what a tensor means.
    Source: P17, A19; diffusers#14114 (a mask that is not contiguous: silent errors), pytorch/pytorch#109607 (expanded).
    Breaks it: view, as_strided or a data pointer on a mask that is taken for contiguous.
    """
    trial = Trial(subject, case)
    trial()
    assert trial.mask is not None
    mask = trial.mask
    if layout == "expanded":
        mask = np.broadcast_to(mask[:1], mask.shape).copy()
    form = trial.convert(mask)
    if form.dim() < 2:
        check.inapplicable("needs masks with two axes or more, and the subject takes one length for each sample")
    laid = lay_out(form, layout)
    if not ask_with(trial, laid, f"a mask laid out {layout}", mask):
        check.fail(
            f"a mask laid out {layout}, strides {laid.stride()}, is refused, but must mean what its copy means", what="call"
        )
