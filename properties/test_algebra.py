"""The algebra of attention: what is linear, what is a constant, and what may be changed without changing anything."""

import numpy as np
from hypothesis import given

from mhsa.judge.budget import light
from mhsa.judge.explained_by_fill import explained_by_fill
from mhsa.judge.strategies import cases
from mhsa.oracle.bounded import Array
from mhsa.records.case import Case
from mhsa.subject import check
from mhsa.subject.subject import Subject
from mhsa.subject.trial import Trial

ANY = ("none", "padding", "causal", "random")
WHOLE = ("integers", "ties")  # small whole numbers, of which sums are exact


def gauge(case: Case, stream: int, width: int) -> tuple[Array, Array]:
    """A [H, width, width] and its inverse, such that both products with the case's parameters are exact.

    Permutations of features, changes of sign and powers of two (but in float16, which underflows early) are exact on any
    numbers, shears on small whole ones.
    """
    rng = case.rng(stream)
    eye = np.eye(width)
    forth, back = [], []
    for _ in range(case.head):
        scale = rng.choice(
            [0.5, 1.0, 2.0, -0.5, -1.0, -2.0] if case.dtype != "float16" or case.data in WHOLE else [1.0, -1.0], size=width
        )
        order = rng.permutation(width)
        a, inverse = (np.diag(scale) @ eye[order]), (eye[order].T @ np.diag(1 / scale))
        if case.data in WHOLE and width > 1:
            i, j = rng.permutation(width)[:2]
            shear = np.outer(eye[i], eye[j])
            a, inverse = a @ (eye + shear), (eye - shear) @ inverse
        forth.append(a)
        back.append(inverse)
    return np.stack(forth), np.stack(back)


def mixed(case: Case, a: Array, rows: Array) -> Array:
    """Apply a [H, d_k, d_k] to the rows (or entries) of each head of a weight [D, ...] or bias [D]."""
    split = rows.reshape(case.head, a.shape[-1], -1)
    return (a @ split).reshape(rows.shape)


@light
@given(case=cases(masks=ANY, small=True))
def test_linear_in_the_values(subject: Subject, case: Case) -> None:
    """The weights depend on queries and keys only: the output is an affine function of the values.

    Statement: O(V_1 + V_2) + O(0) = O(V_1) + O(V_2), where V_1 + V_2 is the value projection cut in two.
    Requires: the value projection can be written.
    Source: A4.
    Breaks it: normalisation or activation of the values, values that enter the scores, a residual.
    """
    trial = Trial(subject, case)
    weight, bias = trial.projections.value.weight, trial.projections.value.bias
    first = case.rng(11).random(weight.shape[1]) < 0.5
    parts = [np.where(first, weight, 0.0), np.where(first, 0.0, weight)]
    none = np.zeros(case.d_model)
    whole = trial()
    sums: list[tuple[Array, Array]] = []
    for w, b in ((parts[0], bias), (parts[1], none), (np.zeros_like(weight), none)):
        trial.write(value_weight=w, value_bias=none if b is None else b)
        sums.append(trial().output_and_bound)
    (one, e1), (two, e2), (zero, e0) = sums
    output, e = whole.output_and_bound
    check.agree("O(V1 + V2) + O(0)", (output + zero, e + e0), (one + two, e1 + e2), whole.judged)


@light
@given(case=cases(masks=ANY, ties=("none",), data=WHOLE, dtypes=("float64", "float32")))
def test_shifting_all_keys_changes_nothing(subject: Subject, case: Case) -> None:
    """One vector added to every key adds one number to every score of a row, which softmax ignores.

    Statement: O(q, k + u, v, M) = O(q, k, v, M) for any u; the logits of row i shift by <q_i, W_K u> / sqrt(d_k).
    Requires: key apart from query and value; no positions, no normalisation of keys, no soft cap.
    Source: A8 with A7; Namazifar et al. 2023, arXiv 2302.08626; Blanchard et al. 2021 for the shift of softmax.
    Breaks it: a softmax that does not subtract the maximum and overflows, an epsilon in the denominator, a clamp.
    """
    check.not_under(subject.contract.formula.between, "a shift of all scores changes nothing")
    check.not_under(subject.contract.formula.capped, "a shift of all scores changes nothing")
    trial = Trial(subject, case)
    shift = case.rng(11).integers(-3, 4, size=case.d_model).astype(float)
    before, after = trial(), trial(key=trial.key + shift)
    check.agree("output", after.output_and_bound, before.output_and_bound, before.judged)


@light
@given(case=cases(masks=ANY))
def test_key_bias_does_not_matter(subject: Subject, case: Case) -> None:
    """The bias of the key projection adds one number to every score of a row, which softmax ignores.

    Statement: O does not depend on b_K.
    Requires: a bias of the key projection; no soft cap.
    Source: A9; Namazifar et al. 2023, arXiv 2302.08626.
    Breaks it: a bias given to the wrong projection, softmax over the queries, masked scores filled before the bias.
    """
    check.not_under(subject.contract.formula.between, "a shift of all scores changes nothing")
    check.not_under(subject.contract.formula.capped, "a shift of all scores changes nothing")
    trial = Trial(subject, case)
    if trial.projections.key.bias is None:
        check.inapplicable("needs a bias of the key projection")
    before = trial()
    trial.write(key_bias=case.rng(11).integers(-4, 5, size=trial.projections.key.bias.shape).astype(float))
    check.agree("output", trial().output_and_bound, before.output_and_bound, before.judged)


@light
@given(case=cases(masks=ANY))
def test_value_bias_is_a_constant(subject: Subject, case: Case) -> None:
    """Weights sum to one, so the bias of the value projection comes out as the constant W_O b_V.

    Statement: O with b_V minus O without it is W_O b_V in every row with an allowed key.
    Requires: a bias of the value projection.
    Source: A10.
    Breaks it: a bias that is added after the mixing and again, weights that do not sum to one, a key of zeros (a sink).
    """
    check.not_under(subject.contract.formula.sinking, "the weights of a row sum to one")
    check.not_under(subject.contract.formula.shared, "needs a key head for each query head")
    trial = Trial(subject, case)
    bias = trial.projections.value.bias
    if bias is None:
        check.inapplicable("needs a bias of the value projection")
    weight = trial.projections.out.weight
    with_bias = trial()
    trial.write(value_bias=np.zeros_like(bias))
    without = trial()
    tolerance = 2.0**-52 * weight.shape[1] * (np.abs(weight) @ np.abs(bias))  # this product, formed here
    check.agree(
        "output",
        with_bias.output_and_bound,
        (without.output + weight @ bias, without.output_and_bound[1] + tolerance),
        with_bias.attended,
    )


@light
@given(case=cases(masks=ANY))
def test_query_and_key_features_may_be_mixed(subject: Subject, case: Case) -> None:
    """Within a head, query features may be mixed by any invertible matrix if key features are mixed to match.

    Statement: W_Q,h -> A^T W_Q,h, W_K,h -> A^-1 W_K,h (biases too) changes nothing, A in GL(d_k) per head.
    Requires: query and key projections can be written; no rotary positions, no normalisation of queries or keys.
    Source: A11; Gauge Symmetries in Transformer Architectures (NeurReps 2025, KrkbYbK0cH); van Nierop arXiv 2412.14543.
    Breaks it: normalised queries, features compared across heads, a feature left out of the scores.
    """
    check.not_under(subject.contract.formula.between, "features may be mixed")
    check.not_under(subject.contract.formula.shared, "needs a key head for each query head")
    trial = Trial(subject, case)
    before = trial()
    a, inverse = gauge(case, 11, trial.d_k)
    changed = {}
    for role, matrix in (("query", a.swapaxes(1, 2)), ("key", inverse)):
        linear = getattr(trial.projections, role)
        changed[f"{role}_weight"] = mixed(case, matrix, linear.weight)
        if linear.bias is not None:
            changed[f"{role}_bias"] = mixed(case, matrix, linear.bias)
    trial.write(**changed)
    check.agree("output", trial().output_and_bound, before.output_and_bound, before.judged)


@light
@given(case=cases(masks=ANY))
def test_value_and_output_features_may_be_mixed(subject: Subject, case: Case) -> None:
    """Within a head, value features may be mixed by any invertible matrix if W_O unmixes them.

    Statement: W_V,h -> A W_V,h, b_V,h -> A b_V,h, W_O,h -> W_O,h A^-1 changes nothing, A in GL(d_k) per head.
    Requires: value and out projections can be written.
    Source: A12.
    Breaks it: an activation between values and output, heads merged in another order than W_O has them.
    """
    check.not_under(subject.contract.formula.shared, "needs a key head for each query head")
    trial = Trial(subject, case)
    before = trial()
    a, inverse = gauge(case, 11, trial.d_v)
    value, out = trial.projections.value, trial.projections.out.weight
    split = out.reshape(out.shape[0], case.head, trial.d_v)
    changed = {
        "value_weight": mixed(case, a, value.weight),
        "out_weight": np.einsum("ohc,hcd->ohd", split, inverse).reshape(out.shape),
    }
    if value.bias is not None:
        changed["value_bias"] = mixed(case, a, value.bias)
    trial.write(**changed)
    check.agree("output", trial().output_and_bound, before.output_and_bound, before.judged)


@light
@given(case=cases(masks=ANY))
def test_a_query_of_zero_averages(subject: Subject, case: Case) -> None:
    """In the limit of infinite temperature every allowed key weighs the same.

    Statement: Q = 0 implies A_ij = 1 / |M_i| and O_i = W_O mean_{j in M_i} V_j + b_O.
    Requires: the query projection can be written.
    Source: A16, tau -> 0.
    Breaks it: scores from anything but queries and keys (a bias, a position), masked keys counted in the mean.
    """
    trial = Trial(subject, case)
    trial.write(query_weight=np.zeros_like(trial.projections.query.weight), query_bias=np.zeros(case.d_model))
    answer = trial()
    check.within("output", answer.output, answer.expected.output, answer.judged)
    if answer.weights is not None:
        check.within("weights", answer.weights, answer.expected.weights, answer.judged[:, None])


@light
@given(case=cases(masks=ANY, data=("integers", "normal"), min_keys=2, dtypes=("float64", "float32", "bfloat16")))
def test_a_long_query_picks_the_best_key(subject: Subject, case: Case) -> None:
    """In the limit of temperature zero the key with the largest score takes all, or those that tie share it.

    Statement: Q -> 2^n Q for growing n: O_i -> W_O V_j* + b_O with j* = argmax_{j in M_i} <q_i, k_j>.
    Requires: the query projection can be written.
    Source: A16, tau -> inf.
    Breaks it: a clamp or a cap of the scores, exp without the maximum taken off, a fill of -1e4 that large scores undercut.
    """
    trial = Trial(subject, case)
    far = 2.0**8
    query = trial.projections.query
    trial.write(query_weight=query.weight * far, query_bias=np.zeros(case.d_model) if query.bias is None else query.bias * far)
    with explained_by_fill(trial, trial):
        answer = trial()
        check.within("output", answer.output, answer.expected.output, answer.judged)


@light
@given(case=cases(masks=ANY, ties=("none", "kv"), small=True))
def test_repeating_every_key_changes_nothing(subject: Subject, case: Case) -> None:
    """Attention sees a distribution of keys: every key m times is the same distribution.

    Statement: O(q, [k; k; ...], [v; v; ...], [M, M, ...]) = O(q, k, v, M).
    Requires: key and value apart from query; no positions, not causal, no window.
    Source: A15; Castin, Ablin and Peyre 2024, arXiv 2312.14820.
    Breaks it: a scale by the length, a window, a block at the end that is dropped or counted twice.
    """
    check.not_under(subject.contract.formula.sinking, "the weights of a row sum to one")
    check.not_under(subject.contract.formula.where, "keys may be repeated")
    trial = Trial(subject, case)
    times = 2 + case.seed % 3
    repeated = trial.paired(lambda x: np.concatenate([x] * times, axis=1))
    mask = None if trial.mask is None else np.concatenate([trial.mask] * times, axis=2)
    before, after = trial(), trial(**repeated, mask=mask)
    check.agree("output", after.output_and_bound, before.output_and_bound, before.judged)


@light
@given(case=cases(masks=("none",), ties=("none", "kv"), need_weights=True, small=True))
def test_repeating_one_key_adds_to_its_logit(subject: Subject, case: Case) -> None:
    """One key m times is that key once, with ln m added to its score.

    Statement: with key j repeated m times, the copies together weigh m p_j / (1 + (m - 1) p_j), where p_j is its weight alone.
    Requires: key and value apart from query; weights [B, H, Tq, Tk]; no positions, not causal, no window.
    Source: A15 (the form with ln m is derived there).
    Breaks it: keys that are found by their content, deduplicated or sorted; a softmax over anything but keys.
    """
    check.not_under(subject.contract.formula.where, "keys may be repeated")
    trial = Trial(subject, case)
    alone = trial()
    weights = check.offered(alone.weights)
    times = 1 + case.seed % 4
    j = int(case.rng(11).integers(case.key_length))
    repeated = trial(**trial.paired(lambda x: np.concatenate([x] + [x[:, j : j + 1]] * times, axis=1)), mask=None)
    copies = [j, *range(case.key_length, case.key_length + times)]
    assert repeated.weights is not None
    together = repeated.weights[..., copies].sum(axis=-1)
    p, error = weights[..., j], alone.expected.weights.error[..., j]
    # The slope of m p / (1 + (m - 1) p) is at most m.
    required, tolerance = (times + 1) * p / (1 + times * p), (times + 1) * error + 2.0**-50
    bound = repeated.expected.weights.error[..., copies].sum(axis=-1)
    check.agree("weight of all copies", (together, bound), (required, tolerance))


@light
@given(case=cases(masks=ANY, data=("repeated",)))
def test_equal_tokens_are_all_answered_alike(subject: Subject, case: Case) -> None:
    """Where all keys are one token and all values one token, every query gets that value.

    Statement: k_j = k and v_j = v for all j implies O_i = W_O (W_V v + b_V) + b_O for every row with an allowed key.
    Requires: nothing.
    Source: A39.
    Breaks it: positions, an epsilon in the denominator, a normalisation over the wrong axis.
    """
    check.not_under(subject.contract.formula.sinking, "the weights of a row sum to one")
    trial = Trial(subject, case)
    answer = trial()
    single = trial(query=trial.query[:, :1], key=trial.key[:, :1], value=trial.value[:, :1], mask=None)
    value, bound = single.output_and_bound
    shape = answer.output.shape
    repeated = np.broadcast_to(value, shape), np.broadcast_to(bound, shape)
    check.agree("output", answer.output_and_bound, repeated, answer.attended)
