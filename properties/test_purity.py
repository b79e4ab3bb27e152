"""What a call leaves behind: nothing."""

from dataclasses import replace

import numpy as np
from hypothesis import given

from mhsa import check
from mhsa.cases import Case
from mhsa.strategies import cases
from mhsa.subject import Subject
from mhsa.trial import Trial, numbers

ANY = ("none", "all", "padding", "causal", "random")


@given(case=cases(masks=ANY))
def test_arguments_are_left_alone(subject: Subject, case: Case) -> None:
    """A call does not write into the tensors that it is given.

    Statement: query, key, value and mask hold the same bits after the call as before it.
    Requires: nothing.
    Source: A40; P18.
    Breaks it: masked_fill_ or an in-place scale on a view of the caller's tensor (huggingface/transformers#47741,
        physical-ai-studio#589).
    """
    trial = Trial(subject, case)
    trial()
    for name, (tensor, before) in trial.arguments.items():
        check.exactly(f"{name} after the call", numbers(tensor), before)


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
    # Longer without a mask, shorter with one, then the same sizes with other numbers, masked and not.
    for change, mask, batch in ((3, "none", 1), (-1, "padding", 1), (0, "padding", 0), (0, "none", 0)):
        lengths = {n: max(getattr(case, n) + change, 1) for n in ("query_length", "key_length")}
        other = replace(case, batch=case.batch + batch, seed=case.seed + 1, **lengths)
        other = replace(other, mask=mask if mask in subject.masks else "none")
        query, key, value = trial.round_inputs(other)
        allowed = other.allowed()
        handed_out, held = trial.returned, answer.output
        between = trial(query=query, key=key, value=value, mask=allowed)
        check.exactly("output of an earlier call", numbers(handed_out), held, np.isfinite(held))
        alone = trial.fresh()(query=query, key=key, value=value, mask=allowed)
        bound = between.expected.output.error  # the same for both: they are given the same numbers
        check.agree("output", (between.output, bound), (alone.output, bound), between.judged)
        answer = trial()
        bound = first.expected.output.error
        check.agree("output", (answer.output, bound), (first.output, bound), first.judged)
