"""What may be reordered: queries, keys with their values, tokens."""

from hypothesis import given

from mhsa import check
from mhsa.cases import Case
from mhsa.strategies import cases
from mhsa.subject import Subject
from mhsa.trial import Trial

ANY = ("none", "padding", "causal", "random", "empty_row")


@given(case=cases(masks=ANY, ties=("none", "kv"), min_queries=2))
def test_queries_may_be_permuted(subject: Subject, case: Case) -> None:
    """Each query is answered for itself: permuted queries, with their mask rows, give the permuted output.

    Statement: O(P q, k, v, P M) = P O(q, k, v, M) for every permutation P of the queries.
    Requires: query apart from key; no positions.
    Source: A6; Lee et al. 2019 (Set Transformer).
    Breaks it: softmax over the queries, heads merged without transposing back, state carried from row to row.
    """
    trial = Trial(subject, case)
    order = case.rng(10).permutation(case.query_length)
    before = trial()
    after = trial(query=trial.query[:, order], mask=None if trial.mask is None else trial.mask[:, order])
    output, bound = before.output_and_bound
    check.agree("permuted output", after.output_and_bound, (output[:, order], bound[:, order]), after.judged)


@given(case=cases(masks=ANY, ties=("none", "kv"), min_keys=2))
def test_keys_and_values_may_be_permuted(subject: Subject, case: Case) -> None:
    """Attention sees a set of (key, value) pairs: permuting the pairs, with their mask columns, changes nothing.

    Statement: O(q, P k, P v, M P^T) = O(q, k, v, M) for every permutation P of the keys.
    Requires: key and value apart from query; no positions.
    Source: A5; Lee et al. 2019 (Set Transformer).
    Breaks it: a window or causality that nobody asked for, a last block that is dropped, value out of step with key.
    """
    trial = Trial(subject, case)
    order = case.rng(10).permutation(case.key_length)
    key = trial.key[:, order]
    value = key if trial.value is trial.key else trial.value[:, order]
    before = trial()
    after = trial(key=key, value=value, mask=None if trial.mask is None else trial.mask[:, :, order])
    check.agree("output", after.output_and_bound, before.output_and_bound, before.judged)


@given(case=cases(masks=ANY, ties=("all",), min_queries=2))
def test_tokens_may_be_permuted(subject: Subject, case: Case) -> None:
    """Self-attention is equivariant: permuted tokens, with both sides of the mask, give the permuted output.

    Statement: O(P x, P M P^T) = P O(x, M) for every permutation P of the tokens.
    Requires: no positions, no causality of its own.
    Source: A5 with A6; Lee et al. 2019 (Set Transformer).
    Breaks it: a reshape that mixes positions (Chinese-Text-Classification-Pytorch#10), hidden causality or positions.
    """
    trial = Trial(subject, case)
    order = case.rng(10).permutation(case.query_length)
    x = trial.query[:, order]
    mask = None if trial.mask is None else trial.mask[:, order][:, :, order]
    before, after = trial(), trial(query=x, key=x, value=x, mask=mask)
    output, bound = before.output_and_bound
    check.agree("permuted output", after.output_and_bound, (output[:, order], bound[:, order]), after.judged)
