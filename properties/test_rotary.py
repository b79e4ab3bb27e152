"""Rotary positions: only distances matter, a rotation keeps lengths, and far places are right in half formats."""

import numpy as np
import torch
from hypothesis import given

from mhsa.judge.budget import light, rare
from mhsa.judge.strategies import cases
from mhsa.oracle.bounded import Array
from mhsa.oracle.formula.fields import Rotary
from mhsa.records.case import Case
from mhsa.records.conventions.values import LENGTH_SHAPES
from mhsa.subject import check
from mhsa.subject.forms.mask_conversion import ALIKE_FOR_QUERIES
from mhsa.subject.guard import attempt
from mhsa.subject.memory_layout import numbers
from mhsa.subject.subject import Subject
from mhsa.subject.trial import Trial

MASKS = ("all", "padding", "random", "causal")
TAME = ("integers", "normal", "ties")
FAR = 700  # places: rounding a frequency near 1 to 8 bits is then off by a radian or more
SCORE = 16.0  # of a query and a key in one direction: an angle that is off by 0.1 moves their score by 1.5 at most


def declared(subject: Subject) -> Rotary:
    """Return how the subject declares to rotate; without it the property is not applicable."""
    rotary = subject.contract.formula.rotary
    if rotary is None:
        check.inapplicable("needs a contract with rotary")
    return rotary


@light
@given(case=cases(masks=MASKS, data=TAME, small=True))
def test_only_distances_matter(subject: Subject, case: Case) -> None:
    """Tokens that all move on by some places attend as before.

    Statement: O'_{i+n} = O_i, where n tokens come before all others, of queries and of keys, and no query may attend to them.
    Requires: rotary is declared; masks that can hide the first keys, for each query by itself where places hide keys too.
    Source: Su et al. 2021, arXiv 2104.09864, section 3: <R(i) q, R(j) k> depends on i - j alone.
    Breaks it: queries rotated by the negative angle, keys or values rotated otherwise than queries, a rotation that is none.
    """
    declared(subject)
    if subject.contract.mask_shape in LENGTH_SHAPES:
        check.inapplicable("needs masks that can hide the first keys")
    if subject.contract.mask_shape in ALIKE_FOR_QUERIES and subject.contract.formula.positional:
        # The queries that come first would see hidden keys alone, and what is opened for them is opened for all.
        check.inapplicable("needs a mask of its own for each query, where causality or a window hides keys, too")
    trial = Trial(subject, case)
    n = 1 + case.seed % 5
    query, key, value = trial.each(lambda x: np.concatenate([x[:, ::-1][:, :1].repeat(n, axis=1), x], axis=1))
    # What is hidden from a query by its place is hidden after the move, too: the first ones see no other token.
    mask = np.ones((case.batch, case.query_length, case.key_length), dtype=bool) if trial.mask is None else trial.mask
    moved = np.zeros((case.batch, case.query_length + n, case.key_length + n), dtype=bool)
    moved[:, n:, n:] = mask
    moved[:, :n] = moved[:, n : n + 1]  # the queries that are added need a key, if any mask is to be given them
    before, after = trial(), trial(query=query, key=key, value=value, mask=trial.opened(moved))
    output, bound = after.output_and_bound
    check.agree("output after a move", (output[:, n:], bound[:, n:]), before.output_and_bound, before.judged)


@light
@given(case=cases(masks=("none", "all", "causal"), data=("integers", "normal"), need_weights=True, min_keys=2, small=True))
def test_a_token_is_most_like_itself(subject: Subject, case: Case) -> None:
    """Where all tokens are one and queries are keys, each attends to its own place most: a rotation keeps lengths.

    Statement: with W_Q = W_K, b_Q = b_K and x_j = x: <R(i) q, R(j) q> <= |q|^2 = <R(i) q, R(i) q>, so A_ij <= A_ii, up to
        rounding.
    Requires: rotary is declared; weights [B, H, Tq, Tk]; projections of query and key that can be written.
    Source: Su et al. 2021, arXiv 2104.09864; A32.
    Breaks it: a wrong sign, features that are rotated with different angles, an offset for one side.
    """
    declared(subject)
    check.not_under(subject.contract.formula.shared, "needs a key head for each query head")
    trial = Trial(subject, case)
    p = trial.projections
    if (p.query.bias is None) != (p.key.bias is None):
        check.inapplicable("needs biases of queries and of keys, or none")
    trial.write(key_weight=p.query.weight)
    if p.query.bias is not None:
        trial.write(key_bias=p.query.bias)
    token = trial.key[:, :1]
    length = case.key_length
    tokens = np.broadcast_to(token, (case.batch, length, case.d_model)).copy()
    value = tokens if case.tie != "none" else trial.value
    answer = trial(query=tokens, key=tokens, value=value, mask=None)
    weights, bound = check.offered(answer.weights), answer.expected.weights.error
    places = np.arange(length)
    own, own_bound = (x[..., places, places, None] for x in (weights, bound))
    seen = np.ones((length, length), dtype=bool) if answer.mask is None else answer.mask[:, None]
    excess = np.where(seen, np.maximum(weights - own, 0.0), 0.0)
    none = np.zeros_like(excess)
    check.agree("weight beyond that of the own place", (excess, own_bound + bound), (none, none))


@rare
@given(case=cases(data=("integers",), small=True))
def test_far_places_in_half_formats(subject: Subject, case: Case) -> None:
    """Hundreds of places away a query of a half format still knows how far: angles are formed in float32.

    Statement: |O - o| <= B in a half format for 700 places, with the last token's query and the first one's key in one pair of
        features alone, that whose frequency the format rounds worst, and all other scores zero. In bfloat16 the bound of a sum
        of so many weights leaves little to find, so float16 comes first, also in a run with bfloat16 alone.
    Requires: rotary is declared; a run with a half format, or tables = "float32"; projections that can be written.
    Source: A33; sgl-project/sglang-jax#1472, huggingface/transformers#25152.
    Breaks it: frequencies, places or angles in the dtype of the data, a buffer of frequencies that .to(dtype) rounds.
    """
    rotary = declared(subject)
    check.not_under('tables = "dtype"' if rotary.tables == "dtype" else "", "angles need not be formed in float32")
    halves = ["float16", "bfloat16"]
    if rotary.tables != "float32" and not set(halves) & set(subject.dtypes):
        check.inapplicable('needs a run with a half format, or rotary with tables = "float32"')
    head, d_k = (min(case.head, 2), subject.features(64)) if subject.adapter.sizes is None else (case.head, case.d_k)
    if rotary.width(d_k) < 4 or head * d_k < 4:
        check.inapplicable("needs a second pair of features that are rotated")
    case = case.resized(
        batch=1, head=head, d_k=d_k, query_length=FAR, key_length=FAR, mask="none", layout="contiguous", data="integers",
    )  # fmt: skip
    taken = (d for d in halves if d in subject.dtypes or _computes(subject, case.resized(dtype=d)))
    dtype = next(taken, None)
    if dtype is None:
        check.inapplicable("needs a half format, and it computes none")
    case = case.resized(dtype=dtype)
    trial = Trial(subject, case)
    x = one_pair(trial, rotary)
    trial.query = trial.key = trial.value = x
    answer = trial()
    check.within("output", answer.output, answer.expected.output, answer.judged)


def _computes(subject: Subject, case: Case) -> bool:
    """Whether a call in the dtype of a case returns."""
    return attempt(lambda: Trial(subject, case, counted=False)())[0] is not None


def one_pair(trial: Trial, rotary: Rotary) -> Array:
    """Set a trial's parameters; return tokens [1, T, D], of which the last has the only query and the first one the only key.

    Feature 0 is read by queries, features 1 and 2 by keys, feature 3 by values. The one score is such that the far key weighs
    as much as all others together, whose scores are 0, and that it is steep: there a wrong angle moves the output most.
    """
    width, d_k = rotary.width(trial.d_k), trial.d_k
    frequencies = rotary.base ** (-np.arange(0, width, 2) / width)
    off = np.abs(numbers(torch.from_numpy(frequencies).to(trial.dtype)) - frequencies)
    pair = int(off[1:].argmax()) + 1
    features = (pair, pair + width // 2) if rotary.layout == "half" else (2 * pair, 2 * pair + 1)
    p = trial.projections
    size = SCORE / trial.formula.factor(d_k)
    gain = 2.0 ** np.round(np.log2(np.sqrt(size)))
    reads = {role: np.zeros_like(getattr(p, role).weight) for role in ("query", "key", "value", "out")}
    reads["query"][features[0] :: d_k, 0] = gain
    reads["key"][features[0] :: d_k, 1] = reads["key"][features[1] :: d_k, 2] = 1.0
    reads["value"][:: trial.d_v, 3] = 1.0
    reads["out"][: trial.case.head, :: trial.d_v] = np.eye(trial.case.head)
    trial.write(**{f"{role}_weight": weight for role, weight in reads.items()})
    trial.write(**{f"{role}_bias": np.zeros_like(getattr(p, role).bias) for role in reads if getattr(p, role).bias is not None})
    # <R(i) (g, 0), R(0) (a, b)> = g (a cos + b sin) of the angle between the places, which is to be size cos(wanted).
    angle = frequencies[pair] * (FAR - 1)
    wanted = np.arccos(min(np.log(FAR - 1.0) / SCORE, 1.0))
    x = np.zeros((1, FAR, trial.case.d_model))
    x[0, -1, 0] = 1.0
    x[0, 0, 1:3] = size / gain * np.array([np.cos(angle - wanted), np.sin(angle - wanted)])
    x[0, 0, 3] = 1.0
    return trial.round(x)
