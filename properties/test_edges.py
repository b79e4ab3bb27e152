"""Sizes at the edge: nothing, one, and sizes that happen to be equal."""

from dataclasses import replace

import numpy as np
import torch
from hypothesis import given

from mhsa.judge.budget import light, rare
from mhsa.judge.drawing.choices import one_of
from mhsa.judge.single_heads import split_heads
from mhsa.judge.strategies import cases
from mhsa.oracle.bounded import Array
from mhsa.records.case import Case
from mhsa.subject import check
from mhsa.subject.adapters.function_adapter import FunctionAdapter
from mhsa.subject.adapters.several_calls import is_square
from mhsa.subject.guard import attempt, guard
from mhsa.subject.memory_layout import numbers, tied
from mhsa.subject.subject import Subject
from mhsa.subject.trial import Trial

ANY = ("none", "padding", "causal", "random")


def ask_for_nothing(trial: Trial, query: Array, key: Array, value: Array, what: str) -> None:
    """Call where the output has no elements: it may be refused, but not be something else."""
    q, k, v = tied(trial.tensor, query, key, value)
    mask = None
    if trial.case.mask != "none":
        # A mask that all samples share is that of the first one, also where there is none.
        samples = query.shape[0] or int(trial.subject.contract.mask_shape == "[Tq, Tk]")
        mask = trial.convert(np.ones((samples, query.shape[1], key.shape[1]), bool))
    with torch.no_grad():
        result, said = attempt(lambda: trial.call_unchecked(q, k, v, mask))
    if result is None:
        check.inapplicable(f"{what} is refused: {said}")
    trial.check_form(*result[0], query.shape[0], query.shape[1], key.shape[1])


@rare
@given(case=cases(masks=("none", "all"), small=True))
def test_an_empty_batch(subject: Subject, case: Case) -> None:
    """An empty batch gives an empty output, or is refused.

    Statement: B = 0 implies that O is [0, Tq, D].
    Requires: nothing; view(B, -1, ...) has no single value for -1 and may raise.
    Source: P21; xformers tests empty batches.
    Breaks it: a reduction or a squeeze that takes the batch away; a result of another shape.
    """
    trial = Trial(subject, case)
    ask_for_nothing(trial, *trial.each(lambda x: x[:0]), "a batch of 0")


@rare
@given(case=cases(masks=("none", "all"), ties=("none", "kv"), small=True))
def test_no_queries(subject: Subject, case: Case) -> None:
    """No queries give no output, or are refused.

    Statement: Tq = 0 implies that O is [B, 0, D].
    Requires: query apart from key; view(B, -1, ...) has no single value for -1 and may raise.
    Source: P21; xformers tests empty queries.
    Breaks it: a squeeze, a loop over blocks that concatenates nothing; a result of another shape.
    """
    trial = Trial(subject, case)
    ask_for_nothing(trial, trial.query[:, :0], trial.key, trial.value, "a query of length 0")


@light
@given(case=cases(masks=("none", "all"), ties=("none", "kv", "all")))
def test_a_single_token(subject: Subject, case: Case) -> None:
    """One query and one key: the weight is 1, and every axis of size 1 stays where it is.

    Statement: Tq = Tk = 1 implies O = W_O (W_V v + b_V) + b_O, also for B = 1, H = 1, d_k = 1.
    Requires: nothing.
    Source: P21.
    Breaks it: squeeze without an axis, a shortcut for one token, causality that hides the only key.
    """
    case = case.resized(query_length=1, key_length=1)
    trial = Trial(subject, case)
    answer = trial()
    check.within("output", answer.output, answer.expected.output)


BATCH, HEAD, QUERIES, KEYS, WIDTH = "batch", "head", "query_length", "key_length", "d_k"
EQUAL = (
    (BATCH, HEAD), (BATCH, QUERIES), (BATCH, KEYS), (QUERIES, KEYS), (KEYS, WIDTH), (QUERIES, HEAD), (HEAD, WIDTH),
    (KEYS, HEAD), (BATCH, QUERIES, KEYS), (BATCH, HEAD, KEYS), (BATCH, HEAD, QUERIES, KEYS, WIDTH),
)  # fmt: skip


@light
@given(case=cases(masks=ANY, small=True), size=one_of(range(2, 5)), turn=one_of(range(4)))
def test_sizes_that_happen_to_be_equal(subject: Subject, case: Case, size: int, turn: int) -> None:
    """What an axis means does not depend on its size: batch = heads, batch = length, length = features are coincidences.

    Statement: |O - o| <= B, as for the oracle's property, at each of B = H, B = Tq, B = Tk, Tq = Tk, Tk = d_k, Tq = H,
        H = d_k, Tk = H, B = Tq = Tk, B = H = Tk, and all equal; the other sizes are any.
    Requires: nothing.
    Source: pytorch/pytorch#81077 (such coincidences), P22.
    Breaks it: axes guessed from sizes: a mask [B, Tk] taken for [Tq, Tk], time-first guessed from the shape.
    """
    hiding = [mask for mask in ("random", "padding", "causal") if mask in subject.masks]
    for number, equal in enumerate(EQUAL):
        if number % 2 == turn % 2:  # half of them; in every other case under a mask that hides something
            mask = hiding[number // 2 % len(hiding)] if hiding and turn > 1 else case.mask
            with_equal_sizes(subject, replace(case, mask=mask), dict.fromkeys(equal, size))


def with_equal_sizes(subject: Subject, case: Case, sizes: dict[str, int]) -> None:
    """One call of these sizes, as far as the subject can be built with them, against the oracle."""
    size = next(iter(sizes.values()))
    if subject.adapter.sizes is not None:  # built in one size: the others follow it
        head, d_k = subject.adapter.sizes[0], subject.adapter.sizes[1] // subject.adapter.sizes[0]
        own = {"head": head, "d_k": d_k}
        fixed = [own[name] for name in ("head", "d_k") if name in sizes]
        sizes = {name: fixed[0] if fixed else size for name in sizes if name not in own}
    if case.tie == "all" or is_square(subject.adapter):
        length = sizes.get("query_length", sizes.get("key_length", case.key_length))
        sizes |= {"query_length": length, "key_length": length}
    if sizes.get("d_k"):
        sizes["d_k"] = subject.features(sizes["d_k"])
    case = case.resized(**sizes)
    if subject.contract.formula.causal == "bottom-right":  # as everywhere: the first queries would see no key
        shortest, longest = sorted((case.query_length, case.key_length))
        case = case.resized(key_length=longest) if "query_length" in sizes else case.resized(query_length=shortest)
    trial = Trial(subject, case)
    answer = trial()
    check.within("output", answer.output, answer.expected.output, answer.judged)


# Which roles one tensor plays; the third role has a tensor of its own.
SHARED = {
    "query and key": ("query", "key"),
    "query and value": ("query", "value"),
    "key and value": ("key", "value"),
    "all": ("query", "key", "value"),
}


@light
@given(case=cases(masks=(*ANY, "all"), ties=("none",), small=True), shared=one_of(tuple(SHARED)))
def test_one_tensor_in_several_roles(subject: Subject, case: Case, shared: str) -> None:
    """A tensor that is query and key, say, is used as both, and the value that differs is used as well; so are gradients.

    Statement: |O - o| <= B with q = k, q = v, k = v or all three one tensor, and its gradient is the sum of those of its roles.
    Requires: query, key and value apart from each other; autograd.
    Source: the formula; torch.nn.MultiheadAttention has a path for `query is key` (pytorch/pytorch#27968).
    Breaks it: self-attention guessed from `query is key`, which ignores a value that differs; a gradient counted twice.
    """
    trial = Trial(subject, case.resized(query_length=case.key_length))
    given_as = {"query": trial.query, "key": trial.key, "value": trial.value}
    given_as |= dict.fromkeys(SHARED[shared], trial.key)
    derivatives = trial.differentiate(trial.cotangent(20, trial.case.output_shape), **given_as)
    check.within("output", derivatives.answer.output, derivatives.answer.expected.output, derivatives.answer.judged)
    for name in given_as:
        if name in derivatives.observed:
            check.within(f"gradient of {name}", derivatives.observed[name], derivatives.expected[name])
    # Three maps have made three tensors of one, so a function of heads is called directly. Not in half formats: the gradient of
    # an online softmax written in them is rounded more often than the oracle allows for, and reached 0.95 of its bound.
    if isinstance(subject.adapter, FunctionAdapter) and case.dtype in ("float64", "float32"):
        heads_are_shared(trial, subject.adapter, given_as)


def heads_are_shared(trial: Trial, adapter: FunctionAdapter, given_as: dict[str, Array]) -> None:
    """Fail unless the gradients of tensors [B, H, T, d] are right where one is query and key, say: those of four maps x = x."""
    eye, none = np.eye(trial.case.d_model), np.zeros(trial.case.d_model)
    maps = ("query", "key", "value", "out")
    trial.write(**{f"{name}_weight": eye for name in maps}, **{f"{name}_bias": none for name in maps})
    d_output = trial.cotangent(20, trial.case.output_shape)
    expected = trial.differentiate(d_output, **given_as).expected
    leaves = {id(x): split_heads(trial, x).detach().requires_grad_() for x in given_as.values()}
    heads = [leaves[id(x)] for x in given_as.values()]
    mask = None if trial.mask is None else trial.convert(trial.mask)
    z = guard("the function", lambda: adapter.attend(trial.module, heads[0], heads[1], heads[2], mask))[0]
    gradients = guard("the backward pass", lambda: torch.autograd.grad(z, list(leaves.values()), split_heads(trial, d_output)))
    names = {id(x): name for name, x in reversed(given_as.items())}  # the first role that a tensor plays
    for key, gradient in zip(leaves, gradients, strict=True):
        merged = numbers(gradient.transpose(1, 2).flatten(2))
        check.within(f"gradient of {names[key]} [B, H, T, d]", merged, expected[names[key]])


@light
@given(case=cases(masks=ANY))
def test_dtype_and_device_of_the_output(subject: Subject, case: Case) -> None:
    """The output has query's dtype and device.

    Statement: O.dtype = q.dtype, O.device = q.device; with parameters in that dtype too.
    Requires: nothing; a contract that computes float64 in float32 still returns what it was given.
    Source: P21; flashinfer-bench has a status of its own for a wrong dtype.
    Breaks it: .float() that is never undone, a default dtype or device that creeps in.
    """
    trial = Trial(subject, case)
    output = trial().tensors[0]
    query = trial.arguments["query"][0]
    for name in ("dtype", "device"):
        got, must = getattr(output, name), getattr(query, name)
        if got != must:
            check.fail(
                f"output has {name} {got}, but must have query's, {must}", what=name, observed=str(got), required=str(must)
            )
