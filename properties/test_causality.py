"""A declared formula: a query sees no key that is hidden from its position, and each declared feature has an effect."""

from dataclasses import fields, replace

import numpy as np
from hypothesis import given

from mhsa.judge.budget import light
from mhsa.judge.strategies import cases
from mhsa.oracle.formula.formula import Formula
from mhsa.records.case import Case
from mhsa.records.declarations import in_words
from mhsa.subject import check
from mhsa.subject.answer import Mask
from mhsa.subject.crafted_inputs import lift_scores
from mhsa.subject.subject import Subject
from mhsa.subject.trial import Trial

PLACES = "needs a contract with causal or window"
ANY = ("none", "all", "padding", "random")
TAME = ("integers", "normal", "ties", "repeated")
POISON = 1e4  # as for masked keys: it stands out at any tolerance, and float16 holds it


def one_query(trial: Trial) -> tuple[int, Mask]:
    """Return a query and, [Tk], the keys that the formula hides from its position, whatever the mask says.

    Of early queries causality hides most, and a window most of late ones: those are taken more often.
    """
    queries, keys = trial.query.shape[1], trial.key.shape[1]
    seen = trial.formula.visible(queries, keys)
    assert seen is not None
    drawn = trial.case.rng(11).integers(queries, size=2)
    chosen = int(drawn.min() if trial.formula.window is None or trial.case.seed % 3 == 0 else drawn.max())
    return chosen, ~seen[chosen]


@given(case=cases(masks=ANY, data=TAME, biased=True))
def test_hidden_keys_have_no_influence(subject: Subject, case: Case) -> None:
    """What is hidden from a query's position, later tokens say, can hold anything, whatever the mask allows.

    Statement: O_i(q, k', v', M) = O_i(q, k, v, M) where k', v' differ from k, v only at keys j that causal or window hide
        from query i; in self-attention x' from x at tokens j other than i.
    Requires: causal or window is declared.
    Source: A20, P15; Flax' and x-transformers' tests of causality do it by value.
    Breaks it: j <= i + 1, a causal mask that is replaced by the given one, that reaches the first head only or comes after the
        softmax, alignment at the other end where Tq != Tk.
    """
    if not subject.contract.formula.positional:
        check.inapplicable(PLACES)
    trial = Trial(subject, case)
    i, hidden = one_query(trial)
    before = trial()
    if case.tie == "all":
        hidden = hidden & (np.arange(len(hidden)) != i)
        x = np.where(hidden[:, None], POISON, trial.query)
        after = trial(query=x, key=x, value=x)
    else:
        after = trial(**trial.paired(lambda x: np.where(hidden[:, None], POISON, x)))
    (output, bound), (was, error) = after.output_and_bound, before.output_and_bound
    row = slice(i, i + 1)
    check.agree(f"output of query {i}", (output[:, row], bound[:, row]), (was[:, row], error[:, row]), before.judged[:, row])


@light
@given(case=cases(masks=ANY, data=TAME, small=True, biased=True))
def test_hidden_keys_receive_no_gradient(subject: Subject, case: Case) -> None:
    """The output of a query has no gradient with respect to what is hidden from its position: its receptive field.

    Statement: dO_i / dk_j = 0 and dO_i / dv_j = 0 exactly where causal or window hide key j from query i; in self-attention
        dO_i / dx_j for tokens j other than i.
    Requires: causal or window is declared; autograd.
    Source: A20, P15; Flax' receptive-field test.
    Breaks it: a hidden key that takes part in a normalisation, a backward pass that forgets what is hidden.
    """
    if not subject.contract.formula.positional:
        check.inapplicable(PLACES)
    trial = Trial(subject, case)
    i, hidden = one_query(trial)
    start = np.zeros(case.output_shape)
    start[:, i] = trial.cotangent(20, case.output_shape)[:, i]
    derivatives = trial.differentiate(start)
    if not derivatives.answer.attended[:, i].all() and not derivatives.answer.judged[:, i].all():
        check.inapplicable("needs a query that sees a key")
    names = ("key", "value")
    if case.tie == "all":
        hidden, names = hidden & (np.arange(len(hidden)) != i), ("query",)
    for name in names:
        if name in derivatives.observed:
            at_hidden = np.where(hidden[:, None], derivatives.observed[name], 0.0)
            check.exactly(f"gradient of {name} hidden from query {i}", at_hidden, np.zeros_like(at_hidden))


@light
@given(case=cases(masks=("none",), min_queries=2, min_keys=2))
def test_a_prefix_gives_the_same(subject: Subject, case: Case) -> None:
    """The first n tokens alone are answered as they are answered with all that follows.

    Statement: O(q_1..n, k_1..n, v_1..n) = O(q, k, v)_1..n for every n, where there are as many queries as keys.
    Requires: causal is declared.
    Source: A20, P15 (what makes a cache of keys possible).
    Breaks it: anything that looks at the whole length: a mask, a scale or a normalisation that depends on later tokens.
    """
    if subject.contract.formula.causal == "no":
        check.inapplicable("needs a contract with causal")
    case = case.resized(query_length=case.key_length)
    trial = Trial(subject, case)
    n = 1 + int(case.rng(11).integers(case.key_length - 1))
    whole = trial()
    first = trial(*trial.each(lambda x: x[:, :n]))
    output, bound = whole.output_and_bound
    check.agree(f"output of the first {n} tokens", first.output_and_bound, (output[:, :n], bound[:, :n]), first.judged)


@light
@given(case=cases(masks=ANY, data=("integers", "normal"), min_keys=2, min_queries=2, dtypes=("float64", "float32")))
def test_what_is_declared_has_an_effect(subject: Subject, case: Case) -> None:
    """The output is not what it would be without one of the declared features.

    Statement: for each of causal, window, scale, softcap, qk_norm, rotary, bias and sinks that is declared, where the formula
        without it differs by more than both bounds, the output is not that of the formula without it. Scores are made twice the
        soft cap, or more.
    Requires: one of these is declared; the query projection can be written.
    Source: P22, the class of options that are accepted and ignored.
    Breaks it: an option that is stored and never read, or read in one path only.
    """
    usual, formula = Formula(), subject.contract.formula
    names = [f.name for f in fields(Formula) if f.name not in ("kv_heads", "lse")]
    declared = [name for name in names if getattr(formula, name) != getattr(usual, name)]
    if not declared:
        check.inapplicable("needs a contract with causal, window, scale, softcap, qk_norm, rotary, a bias of places or sinks")
    trial = Trial(subject, case)
    if formula.softcap is not None:
        lift_scores(trial, 2.0 * formula.softcap)
    answer = trial()
    must = answer.expected.output
    for name in declared:
        trial.formula = replace(formula, **{name: getattr(usual, name)})
        without = trial().expected.output
        trial.formula = formula
        apart = (np.abs(must.value - without.value) > must.error + without.error) & answer.judged
        same = np.abs(answer.output - without.value) <= without.error
        check.current().add_ratio(0.0)
        if apart.any() and same[apart].all():
            check.fail(
                f"the output is that without {in_words({name: getattr(formula, name)})}, "
                f"but must differ from it in {int(apart.sum())} of {apart.size} elements",
                what="output",
            )
