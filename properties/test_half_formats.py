"""Half formats, of which every profile tries a few cases, whatever dtypes were asked for."""

import itertools
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from hypothesis import given
from torch import Tensor

from mhsa.judge.budget import light, rare
from mhsa.judge.drawing.choices import one_of
from mhsa.judge.strategies import cases
from mhsa.oracle.attention import OracleError
from mhsa.oracle.bounded import Bounded, gamma
from mhsa.records.case import Case
from mhsa.subject import check
from mhsa.subject.adapters.several_calls import is_square
from mhsa.subject.guard import attempt, guard
from mhsa.subject.memory_layout import numbers, tied
from mhsa.subject.subject import Subject
from mhsa.subject.trial import Trial

ANY = ("none", "padding", "random")
DATA = ("integers", "normal", "ties")  # of a size whose scores no half format has to fear
MODES = {"with gradients": torch.enable_grad, "under no_grad": torch.no_grad, "in inference_mode": torch.inference_mode}


def call(trial: Trial) -> bool:
    """Call with the case's tensors; True where that returns, whatever it returns."""
    q, k, v = (trial.tensor(x) for x in (trial.query, trial.key, trial.value))
    trial.call_unchecked(q, k, v, None if trial.mask is None else trial.convert(trial.mask))
    return True


def compare(subject: Subject, case: Case, dtype: str) -> None:
    """One call in a half format, against the oracle; sums may be made in the format itself, which nobody has declared."""
    if dtype in subject.dtypes:
        check.inapplicable(f"needs {dtype} not to be asked for: every property judges it then")
    rough = replace(subject, contract=replace(subject.contract, accumulation="dtype"))
    case = case.resized(dtype=dtype)
    done, said = attempt(lambda: call(Trial(rough, case, counted=False)))
    if done is None:
        check.inapplicable(f"needs a module that computes in {dtype}: {said}")
    trial = Trial(rough, case)
    answer = trial()
    try:
        required = answer.expected.output
    except OracleError:
        check.inapplicable(f"needs a width whose sums {dtype} can bound")
    check.within("output", answer.output, required, answer.judged)
    for where, made in in_every_form(trial):
        output = made[0] if isinstance(made, tuple) else made
        if isinstance(output, Tensor) and output.dtype != trial.dtype:
            got, must = str(output.dtype), str(trial.dtype)
            check.fail(
                f"output {where} has dtype {got}, but must have query's, {must}", what="dtype", observed=got, required=must
            )


def in_every_form(trial: Trial) -> Iterator[tuple[str, Any]]:
    """Yield what calls in other forms than the case's return, with words for the form; one that raises is left out."""
    q, k, v, mask = trial.last_tensors
    asked = trial.case.need_weights

    def called(first: Tensor, *others: Tensor | None, need_weights: bool = asked) -> Any:
        done, _ = attempt(lambda: trial.caller(trial.module, first, *others, need_weights))
        return None if done is None else done[0]

    for words, mode in MODES.items():
        with mode():
            made = called(q, k, v, mask)
        yield words, made
    with torch.set_grad_enabled(trial.case.grad):
        if mask is not None and not trial.subject.adapter.needs_mask:
            yield "without the mask", called(q, k, v, None)
        if trial.subject.adapter.weights_on_request:
            yield f"with need_weights={not asked}", called(q, k, v, mask, need_weights=not asked)
        if mask is None:
            first = {id(x): x[:, :1] for x in (q, k, v)}
            together = q is k or is_square(trial.subject.adapter)
            yield "of one query", called(first[id(q)], *(first[id(x)] if together else x for x in (k, v)), None)
        trial.train()
        yield "in train mode", called(q, k, v, mask)
        trial.module.eval()


@light
@given(case=cases(masks=ANY, data=DATA, dtypes=("float32",), small=True))
def test_output_in_bfloat16(subject: Subject, case: Case) -> None:
    """What a module computes in bfloat16 is attention, too.

    Statement: |O - o| <= B for inputs and parameters in bfloat16, where sums may be rounded to bfloat16 as well; and
        O.dtype = q.dtype with gradients and without, in train mode, with one query, with weights and without, masked or not.
    Requires: a module that computes in bfloat16; one that raises there says so itself.
    Source: TransformerEngine#3216; bound: docs/bounds.md.
    Breaks it: places or angles counted in bfloat16, which has 8 bits; a fill, a scale or an epsilon that is lost;
        float32 that is returned in one mode alone.
    """
    compare(subject, case, "bfloat16")


@light
@given(case=cases(masks=ANY, data=DATA, dtypes=("float32",), small=True))
def test_output_in_float16(subject: Subject, case: Case) -> None:
    """What a module computes in float16 is attention, too.

    Statement: |O - o| <= B for inputs and parameters in float16, where sums may be rounded to float16 as well; and
        O.dtype = q.dtype with gradients and without, in train mode, with one query, with weights and without, masked or not.
    Requires: a module that computes in float16; one that raises there says so itself.
    Source: trl#7181; bound: docs/bounds.md.
    Breaks it: a fill beyond 65504 that becomes infinite and is multiplied by zero, an epsilon below 2^-24, which is zero;
        float32 that is returned in one mode alone.
    """
    compare(subject, case, "float16")


# Keys, and how many of them one sample has: odd numbers beyond which half formats have even numbers alone. Sums of as many
# ones stop at 256 and at 2048 in these formats.
LONG = {
    "bfloat16": (1024, 1023),
    "float16": (4096, 4095),
    "bfloat16, square": (600, 599),  # as many queries as keys, at the cost of the square
}
PLACES = 600
COLLIDING = (260, 520)  # each is the number that bfloat16 has for the place before it, too


@rare
@given(
    case=cases(data=("integers",), dtypes=("float32",), small=True),
    dtype=one_of(("bfloat16", "float16")),
)
def test_thousands_of_keys(subject: Subject, case: Case, dtype: str) -> None:
    """A thousand keys in bfloat16 and four thousand in float16 are averaged right.

    Statement: with scores that are all equal, W_V = W_O = 1 and b = 0, O_i = mean of v_j over the keys of the sample, but for
        two roundings for each block of 16 keys; for values that are 1 in one half of the keys, and such as are not 0 at the
        last key alone or at masked keys alone. Scores are near 8; they are 0 where keys are values or are not multiplied as
        they are.
    Requires: a module that computes in half formats and can be called with so many keys; all projections can be written.
    Source: P20, P21; pytorch/pytorch#127055.
    Breaks it: a sum or a number of keys that is counted in a half format, exponentials whose sum overflows.
    """
    check.not_under(subject.contract.formula.sinking, "the weights of a row sum to one")
    check.not_under(subject.contract.formula.where, "each query sees all keys alike")
    own = 'accumulation = "dtype"' if subject.contract.accumulation == "dtype" else ""
    check.not_under(own, "sums are wider than what is summed")
    square = subject.ties[0] == "all" or is_square(subject.adapter)
    # A fill that float16 cannot hold raises under a mask: then it is called without one, or in the other format.
    masks = ("padding", "none") if "padding" in subject.masks and subject.contract.formula.fill is None else ("none",)
    formats = ("bfloat16, square",) if square else (dtype, "float16" if dtype == "bfloat16" else "bfloat16")
    said = ""
    for chosen, mask in itertools.product(formats, masks):
        keys, fewer = LONG[chosen]
        sizes = {"batch": 2, "query_length": keys if square else 2, "key_length": keys}
        if subject.adapter.sizes is None:
            sizes |= {"head": max(2, subject.fewest_heads), "d_k": subject.features(4)}
        case = replace(case, dtype=chosen.split(",")[0], tie=subject.ties[0], layout="contiguous", mask=mask, **sizes)
        said = averaged(Trial(subject, case), fewer if mask == "padding" else keys)
        if not said:
            return
    check.inapplicable(f"needs a module that computes in half formats with many keys: {said}")


def averaged(trial: Trial, fewer: int) -> str:
    """Compare a call in which the second sample has ``fewer`` keys; return why it cannot be made, or an empty string."""
    case, keys = trial.case, trial.case.key_length
    lengths, places = np.array([[keys], [fewer]]), np.arange(keys)
    seen = places < lengths
    first = np.broadcast_to(places < keys // 2, seen.shape)
    columns = np.stack([first, ~first, 512.0 * (places == lengths - 1), 512.0 * ~seen], axis=-1)
    value = columns[..., np.arange(case.d_model) % 4]
    plain = case.tie == "none" and not trial.formula.between
    none, eye = np.zeros(case.d_model), np.eye(case.d_model)
    score = trial.d_k * trial.formula.factor(trial.d_k)
    gain = 2.0 ** np.round(np.log2(8.0 / score)) if plain else 0.0
    trial.write(query_weight=gain * eye, value_weight=eye, out_weight=eye, query_bias=none, value_bias=none, out_bias=none)
    trial.write(query_norm_bias=none, **({"key_weight": eye, "key_bias": none} if plain else {}))
    key = np.ones_like(value) if case.tie == "none" else value
    query = key if case.tie == "all" else np.ones((2, case.query_length, case.d_model))
    q, k, v = tied(trial.tensor, query, key, value if case.tie == "none" else key)
    shape = (2, case.query_length, keys)
    mask = None if case.mask == "none" else trial.convert(np.broadcast_to(seen[:, None], shape).copy())
    made, said = attempt(lambda: trial.call_unchecked(q, k, v, mask))
    if made is None:
        return said
    mean = np.where(seen[..., None], value, 0.0).sum(axis=1, keepdims=True) / lengths[..., None]
    unit = trial.precision.unit
    error = mean * (gamma(keys // 8 + 16, unit) + gamma(4, unit) * gain * score) + keys * trial.precision.tiny
    trial.check_form(*made[0], *shape)
    repeated = Bounded(*(np.repeat(x, case.query_length, axis=1) for x in (mean, error)))
    padded = mask is not None and trial.subject.contract.padded_queries == "zero"
    check.within("output", numbers(made[0][0]), repeated, seen[..., None] if padded else None)
    return ""


@rare
@given(case=cases(data=("integers",), dtypes=("float32",), small=True))
def test_later_keys_stay_hidden(subject: Subject, case: Case) -> None:
    """Hundreds of places away a query in bfloat16 sees no later key.

    Statement: with 600 tokens in bfloat16, O_i(x') = O_i(x) to the last bit for i < n where x' differs from x in tokens j >= n
        alone, for n = 260 and n = 520: beyond 256 neighbours have one number there, beyond 512 four.
    Requires: causal is declared; a module that computes in bfloat16.
    Source: A20; huggingface/transformers#25152 (places counted in a half format).
    Breaks it: places compared in the dtype of the data.
    """
    if subject.contract.causal in (None, "no"):
        check.inapplicable("needs a contract with causal")
    sizes: dict[str, Any] = {"batch": 1, "query_length": PLACES, "key_length": PLACES}
    if subject.adapter.sizes is None:
        sizes |= {"head": max(1, subject.fewest_heads), "d_k": subject.features(2)}
    case = replace(case, dtype="bfloat16", tie=subject.ties[0], layout="contiguous", mask="none", **sizes)
    trial = Trial(subject, case)
    q, k, v = tied(trial.tensor, trial.query, trial.key, trial.value)
    made, said = attempt(lambda: trial.call_unchecked(q, k, v, None))
    if made is None or not isinstance(made[0][0], Tensor):
        check.inapplicable(f"needs a module that computes in bfloat16: {said}")
    for n in COLLIDING:
        with torch.no_grad():
            changed = {id(x): torch.cat([x[:, :n], -2 * x[:, n:] - 1], dim=1) for x in (q, k, v)}
        after, _ = guard(
            "the call with other later tokens", lambda c=changed: trial.call_unchecked(*(c[id(x)] for x in (q, k, v)), None)
        )
        check.exactly(f"output of the queries before token {n}", numbers(after)[:, :n], numbers(made[0][0])[:, :n])
