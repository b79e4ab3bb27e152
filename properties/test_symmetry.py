"""What may be reordered or taken alone: queries, keys with their values, tokens, samples."""

from hypothesis import given

from mhsa.judge.budget import light
from mhsa.judge.strategies import cases
from mhsa.records.case import Case
from mhsa.subject import check
from mhsa.subject.subject import Subject
from mhsa.subject.trial import Trial

ANY = ("none", "padding", "causal", "random", "fully_masked_row")


@light
@given(case=cases(masks=ANY, ties=("none", "kv"), min_queries=2))
def test_queries_may_be_permuted(subject: Subject, case: Case) -> None:
    """Each query is answered for itself: permuted queries, with their mask rows, give the permuted output.

    Statement: O(P q, k, v, P M) = P O(q, k, v, M) for every permutation P of the queries.
    Requires: query apart from key; no positions, not causal, no window.
    Source: A6; Lee et al. 2019 (Set Transformer).
    Breaks it: softmax over the queries, heads merged without transposing back, state carried from row to row.
    """
    check.not_under(subject.contract.formula.where, "queries may be permuted")
    trial = Trial(subject, case)
    order = case.rng(10).permutation(case.query_length)
    before = trial()
    after = trial(query=trial.query[:, order], mask=None if trial.mask is None else trial.mask[:, order])
    output, bound = before.output_and_bound
    check.agree("permuted output", after.output_and_bound, (output[:, order], bound[:, order]), after.judged)


@light
@given(case=cases(masks=ANY, ties=("none", "kv"), min_keys=2))
def test_keys_and_values_may_be_permuted(subject: Subject, case: Case) -> None:
    """Attention sees a set of (key, value) pairs: permuting the pairs, with their mask columns, changes nothing.

    Statement: O(q, P k, P v, M P^T) = O(q, k, v, M) for every permutation P of the keys.
    Requires: key and value apart from query; no positions, not causal, no window.
    Source: A5; Lee et al. 2019 (Set Transformer).
    Breaks it: a window or causality that is not declared, a last block that is dropped, value out of step with key.
    """
    check.not_under(subject.contract.formula.where, "keys may be permuted")
    trial = Trial(subject, case)
    order = case.rng(10).permutation(case.key_length)
    before = trial()
    after = trial(**trial.paired(lambda x: x[:, order]), mask=None if trial.mask is None else trial.mask[:, :, order])
    check.agree("output", after.output_and_bound, before.output_and_bound, before.judged)


@light
@given(case=cases(masks=ANY, ties=("all",), min_queries=2))
def test_tokens_may_be_permuted(subject: Subject, case: Case) -> None:
    """Self-attention is equivariant: permuted tokens, with both sides of the mask, give the permuted output.

    Statement: O(P x, P M P^T) = P O(x, M) for every permutation P of the tokens.
    Requires: no positions, not causal, no window.
    Source: A5 with A6; Lee et al. 2019 (Set Transformer).
    Breaks it: a reshape that mixes positions (Chinese-Text-Classification-Pytorch#10), hidden causality or positions.
    """
    check.not_under(subject.contract.formula.where, "tokens may be permuted")
    trial = Trial(subject, case)
    order = case.rng(10).permutation(case.query_length)
    x = trial.query[:, order]
    mask = None if trial.mask is None else trial.mask[:, order][:, :, order]
    before, after = trial(), trial(query=x, key=x, value=x, mask=mask)
    output, bound = before.output_and_bound
    check.agree("permuted output", after.output_and_bound, (output[:, order], bound[:, order]), after.judged)


@light
@given(case=cases(masks=ANY, min_batch=2))
def test_samples_may_be_permuted(subject: Subject, case: Case) -> None:
    """The batch has no order: permuted samples, with their masks, give the permuted output.

    Statement: O(P q, P k, P v, P M) = P O(q, k, v, M) for every permutation P of the samples.
    Requires: two samples.
    Source: A24, P07.
    Breaks it: batch and heads mixed in a reshape (gazelle93/Transformer-Various-Positional-Encoding#1), a mask repeated
        in another order than the samples.
    """
    trial = Trial(subject, case)
    order = case.rng(10).permutation(case.batch)
    before = trial()
    after = trial(*trial.each(lambda x: x[order]), mask=None if trial.mask is None else trial.mask[order])
    output, bound = before.output_and_bound
    check.agree("permuted output", after.output_and_bound, (output[order], bound[order]), after.judged)


@light
@given(case=cases(masks=ANY, min_batch=2))
def test_each_sample_is_answered_alone(subject: Subject, case: Case) -> None:
    """A sample gets in a batch what it gets by itself.

    Statement: O(q, k, v, M)_b = O(q_b, k_b, v_b, M_b) for every sample b.
    Requires: two samples.
    Source: A24, P07; He et al. 2025, Defeating Nondeterminism in LLM Inference.
    Breaks it: samples that mix or are dropped (diffusers#8837), statistics over the batch, a path of its own for one sample
        (transformers PR#46773), a mask broadcast from the first sample.
    """
    trial = Trial(subject, case)
    together = trial()
    for b in {0, case.batch - 1}:
        one = slice(b, b + 1)
        alone = trial(*trial.each(lambda x, one=one: x[one]), mask=None if trial.mask is None else trial.mask[one])
        output, bound = together.output_and_bound
        check.agree(f"output of sample {b} alone", alone.output_and_bound, (output[one], bound[one]), alone.judged)


@light
@given(case=cases(masks=ANY, ties=("none", "kv"), min_queries=2))
def test_each_query_is_answered_alone(subject: Subject, case: Case) -> None:
    """A query gets among others what it gets by itself.

    Statement: O(q, k, v, M)_i = O(q_i, k, v, M_i) for every query i.
    Requires: query apart from key; not causal, no window.
    Source: A6, A18; P15 (one query at a time).
    Breaks it: softmax over the queries, a path of its own for one query that drops the mask, causality aligned by length
        (x-transformers#187).
    """
    check.not_under(subject.contract.formula.where, "a query alone has another position")
    trial = Trial(subject, case)
    together = trial()
    i = int(case.rng(10).integers(case.query_length))
    alone = trial(query=trial.query[:, i : i + 1], mask=None if trial.mask is None else trial.mask[:, i : i + 1])
    output, bound = together.output_and_bound
    check.agree(f"output of query {i} alone", alone.output_and_bound, (output[:, i : i + 1], bound[:, i : i + 1]), alone.judged)
