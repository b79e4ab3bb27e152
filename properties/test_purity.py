"""What a call leaves behind: nothing."""

import functools
import random
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from hypothesis import given
from torch import Tensor

from mhsa.judge.budget import light, rare
from mhsa.judge.single_heads import split_heads
from mhsa.judge.strategies import cases
from mhsa.records.case import Case
from mhsa.subject import check
from mhsa.subject.adapters.function_adapter import FunctionAdapter
from mhsa.subject.adapters.several_calls import is_square
from mhsa.subject.guard import guard
from mhsa.subject.memory_layout import numbers
from mhsa.subject.subject import Subject
from mhsa.subject.torch_settings import restore, settings
from mhsa.subject.trial import Trial
from mhsa.subject.two_threads import interleave, operations

ANY = ("none", "all", "padding", "causal", "random")
_FAR = 1000  # further than a counter comes in some calls: what waits for a number of them shows


@light
@given(case=cases(masks=ANY))
def test_arguments_are_left_alone(subject: Subject, case: Case) -> None:
    """A call does not write into its arguments.

    Statement: query, key, value and mask hold the same bits after the call as before it.
    Requires: nothing.
    Source: A40; P18.
    Breaks it: masked_fill_ or an in-place scale on a view of the caller's tensor (huggingface/transformers#47741,
        physical-ai-studio#589).
    """
    trial = Trial(subject, case)
    trial()
    for name, (tensor, before) in trial.arguments.items():
        check.unchanged(f"{name} after the call", numbers(tensor), before)
    if isinstance(subject.adapter, FunctionAdapter):  # its arguments are heads made of these tensors, so it is called directly
        roles = ("query", "key", "value")
        heads = [split_heads(trial, getattr(trial, role)) for role in roles]
        held = [numbers(x) for x in heads]
        mask = None if trial.mask is None else trial.convert(trial.mask)
        mask_before = None if mask is None else numbers(mask)
        with torch.set_grad_enabled(case.grad):
            guard("the function", lambda: subject.adapter.attend(trial.module, *heads, mask))
        for role, tensor, before in zip(roles, heads, held, strict=True):
            check.unchanged(f"{role} [B, H, T, d] after the call", numbers(tensor), before)
        if mask is not None and mask_before is not None:
            check.unchanged("mask [B, 1, Tq, Tk] after the call", numbers(mask), mask_before)


@light
@given(case=cases(masks=ANY, small=True))
def test_earlier_calls_leave_no_trace(subject: Subject, case: Case) -> None:
    """What a call returns does not depend on the calls before it: other lengths, other batches, masked or not.

    Statement: f(x) after f(y) is f(x) of a fresh module, for y longer, shorter, in another batch size, with another mask;
        and what f(x) returned before f(y) holds the same bits after it.
    Requires: nothing.
    Source: A40; P18.
    Breaks it: a mask, a length or keys kept from an earlier call (rotary-embedding-torch#11, Wan2GP PR#1628), a buffer of
        results that is used again.
    """
    trial = Trial(subject, case)
    first = answer = trial()
    # Longer without a mask, shorter with one, then the same sizes with other numbers, masked and not; more queries.
    changes = [(3, 3, "none", 1), (-1, -1, "padding", 1), (0, 0, "padding", 0), (0, 0, "none", 0)]
    free = case.tie != "all" and not is_square(subject.adapter) and subject.contract.formula.causal != "bottom-right"
    for queries, keys, mask, batch in [*changes, *([(2, 0, "none", 0)] if free else [])]:
        lengths = {"query_length": max(case.query_length + queries, 1), "key_length": max(case.key_length + keys, 1)}
        other = replace(case, batch=case.batch + batch, seed=case.seed + 1, **lengths)
        kinds = (mask, "broadcast") if mask != "none" else ()  # masks that are the same for every sample are never of padding
        other = replace(other, mask=next((kind for kind in kinds if kind in subject.masks), "none"))
        query, key, value = trial.round_inputs(other)
        allowed = trial.draw_mask(other)
        handed_out, held = answer.tensors[0], answer.output
        between = trial(query=query, key=key, value=value, mask=allowed)
        check.unchanged("output of an earlier call", numbers(handed_out), held)
        alone = trial.fresh_copy()(query=query, key=key, value=value, mask=allowed)
        bound = between.expected.output.error  # the same for both: they have the same inputs
        check.agree("output", (between.output, bound), (alone.output, bound), between.judged)
        answer = trial()
        bound = first.expected.output.error
        check.agree("output", (answer.output, bound), (first.output, bound), first.judged)
        if between.weights is not None and alone.weights is not None:
            bound = between.expected.weights.error
            check.agree("weights", (between.weights, bound), (alone.weights, bound), between.judged[:, None])


def surroundings(module: torch.nn.Module) -> dict[str, Any]:
    """Everything that a call must leave as it is, the tensors as copies."""
    state = {name: t.detach().clone() for name, t in [*module.named_parameters(), *module.named_buffers()]}
    return state | {
        "whether parameters require gradients": [p.requires_grad for p in module.parameters()],
        "train or eval": [m.training for m in module.modules()],
        "torch's random numbers": torch.get_rng_state(),
        "numpy's random numbers": str(np.random.get_state()),
        "Python's random numbers": random.getstate(),
        **settings(),
    }


@light
@given(case=cases(masks=ANY))
def test_nothing_around_a_call_changes(subject: Subject, case: Case) -> None:
    """A call in eval mode changes no parameter, no buffer and no setting, and draws no random number.

    Statement: parameters, buffers, train flags, the states of all random number generators, default dtype, gradient mode,
        number of threads and precision settings are the same after the call as before it; but for buffers of whole numbers
        that no output depends on, under the contract counters = "any".
    Requires: nothing.
    Source: A40; P18.
    Breaks it: running statistics, a counter in a buffer, torch.manual_seed or set_default_dtype in forward, dropout in eval,
        set_grad_enabled(False) without a way back.
    """
    trial = Trial(subject, case)
    known = settings()
    trial()  # buffers may be made by the first call
    restore(known)  # what is set in each call shows in the second one only if it is not set yet
    _ = torch.rand(1), np.random.random(), random.random()  # nor do the generators stand where a seed would put them
    with torch.set_grad_enabled(case.grad):
        before = surroundings(trial.module)
        trial.call_again()
        after = surroundings(trial.module)
        restore(before)
    changed = [name for name, was in before.items() if not is_same(was, after.get(name))]
    buffers = dict(trial.module.named_buffers())
    counted = [name for name in changed if name in buffers and is_counter(before[name]) and is_counter(after.get(name))]
    for name in changed:
        if name not in counted:
            check.fail(f"{name} changed in a call in eval mode, but must not", what=name)
    if counted and subject.contract.counters != "any":
        require_no_counters(trial, counted)


def is_same(was: Any, is_now: Any) -> bool:
    """Whether something is as it was; NaN is NaN."""
    if not isinstance(was, Tensor) or not isinstance(is_now, Tensor):
        return bool(was == is_now)
    if torch.equal(was, is_now):
        return True
    nan = was.is_floating_point() and bool((was.isnan() == is_now.isnan()).all())
    return nan and bool((was.nan_to_num() == is_now.nan_to_num()).all())


def is_counter(state: Any) -> bool:
    """Whether this may count something: a tensor of whole numbers."""
    return isinstance(state, Tensor) and not state.is_floating_point() and not state.is_complex() and state.dtype != torch.bool


def require_no_counters(trial: Trial, names: list[str]) -> None:
    """Fail because buffers count: as a question, unless they are declared never to, or the output depends on what they say."""
    outputs = []
    buffers = dict(trial.module.named_buffers())
    for further in (0, 1, _FAR):
        for name in names:
            buffers[name].add_(further)
        outputs.append(numbers(trial.call_again()[0]))
    for output in outputs[1:]:
        check.exactly(f"output after {names[0]} was counted up", output, outputs[0])
    check.fail(
        f"calls in eval mode count in {', '.join(names)}, which no result depends on",
        what="buffers", declaration={} if trial.subject.contract.counters == "none" else {"counters": "any"},
    )  # fmt: skip


@light
@given(case=cases(masks=ANY))
def test_the_same_call_gives_the_same_bits(subject: Subject, case: Case) -> None:
    """Two calls with the same tensors give the same bits.

    Statement: f(x) = f(x), exactly, output and weights, in eval mode on one thread; random numbers play no part. On a GPU,
        where atomic additions come in any order, within the bounds of both.
    Requires: nothing.
    Source: A40, P19; flash-attention's test_flash_attn_race_condition.
    Breaks it: dropout in eval (nanoGPT PR#240 and many more), memory that was never written, a race, an average that runs.
    """
    trial = Trial(subject, case)
    first = trial()
    held = [None if t is None else t.detach().clone() for t in first.tensors[:2]]
    torch.manual_seed(case.seed + 1)  # other random numbers, should any be drawn
    with torch.set_grad_enabled(case.grad):
        again = trial.call_again()
    for name, one, two in zip(("output", "weights"), held, again, strict=True):
        if isinstance(one, Tensor) and isinstance(two, Tensor):
            a, b = np.nan_to_num(numbers(one)), np.nan_to_num(numbers(two))
            what = f"{name} of the second call"
            error = np.zeros_like(a) if subject.device == "cpu" else getattr(first.expected, name).error
            check.agree(what, (b, error), (a, error))


@light
@given(case=cases(masks=ANY, need_weights=True, small=True))
def test_what_was_handed_out_stays(subject: Subject, case: Case) -> None:
    """Output, weights and log-sum-exp that a call has returned belong to the caller: later calls do not write into them.

    Statement: O, A and L of f(x) hold the same bits after f(y); overwriting O changes no argument, no parameter and no later
        result.
    Requires: nothing.
    Source: P18; KernelBench tests for results that are used again.
    Breaks it: a buffer of results used again, an output that is a view of the input or of a cache.
    """
    trial = Trial(subject, case)
    first = trial()
    trial(*trial.each(lambda x: -x))
    held_numbers = (first.output, first.weights, first.lse)
    for name, tensor, held in zip(("output", "weights", "log-sum-exp"), first.tensors, held_numbers, strict=True):
        if tensor is not None and held is not None:
            check.unchanged(f"{name} of an earlier call", numbers(tensor), held)
    again = trial()
    with torch.no_grad():
        again.tensors[0].detach().fill_(7.0)
    for name, (tensor, before) in trial.arguments.items():
        check.unchanged(f"{name} after the output was overwritten", numbers(tensor), before)
    last = trial()
    check.agree("output after an earlier one was overwritten", last.output_and_bound, first.output_and_bound, first.judged)


@rare
@given(case=cases(masks=ANY, min_batch=2, small=True))
def test_two_threads_do_not_disturb_each_other(subject: Subject, case: Case) -> None:
    """Two threads that call one module at once get what each gets alone.

    Statement: f(x), stopped between any two of its operations while another thread calls f(y), is f(x); and f(y) is f(y). The
        other call has another mask, too, where there is one.
    Requires: a call whose operations can be counted; a module that keeps nothing for later calls, as far as it says so.
        Weights that are kept in an attribute are left alone: there is one attribute for both.
    Source: P18, P19; tt-metal#50512 (a race from three users on).
    Breaks it: attributes of the module used to pass tensors from one step of forward to the next, a shared workspace.
    """
    if subject.adapter.reset:
        check.inapplicable(
            f"needs a module that keeps nothing for later calls, and {subject.adapter.reset}() drops what it keeps"
        )
    trial = Trial(subject, case)
    calls = []
    for sign, mask in ((1.0, trial.mask), (-1.0, None if trial.mask is None else trial.mask[::-1].copy())):
        alone = trial(*trial.each(lambda x, sign=sign: sign * x), mask=mask)
        calls.append((alone, functools.partial(call, subject, trial, trial.last_tensors)))
    (_, first), (_, second) = calls
    try:
        length = operations(first)
    except Exception as error:  # a copy of torch's own function hands itself on to whoever counts, and forgets arguments
        check.inapplicable(f"needs a call whose operations can be counted; with that it raises {type(error).__name__}")
    for at in sorted({round(length * part / 8) for part in range(1, 8)}):
        for (alone, _), result in zip(calls, interleave(first, second, at), strict=True):
            if isinstance(result, Exception):
                check.fail(f"a call during that of another thread raised {type(result).__name__}: {result}", what="threads")
            check.agree(
                "output during another call", (result, alone.expected.output.error), alone.output_and_bound, alone.judged
            )


def call(subject: Subject, trial: Trial, arguments: tuple[Tensor, Tensor, Tensor, Tensor | None]) -> np.ndarray:
    """Call the module on the thread that this runs on."""
    with torch.no_grad():
        return numbers(subject.caller(trial.module, *arguments, trial.case.need_weights)[0])
