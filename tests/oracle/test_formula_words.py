"""What a reader is told of each declared feature, word for word; and what each makes of the laws that need plain attention."""

import pytest

from mhsa.oracle.attention import Linear, ProjectionWeights, attention, multi_head
from mhsa.oracle.formula import bias_table, sinks
from mhsa.oracle.formula.bias_fields import BiasTable
from mhsa.oracle.formula.fields import Fill, QkNorm, Rotary
from mhsa.oracle.formula.formula import PLAIN, Formula
from mhsa.oracle.gradients import gradients
from mhsa.oracle.precision import PRECISIONS
from tests.oracle.pinned_bounds import numbers

WORDS = {
    Formula("top-left"): "causal (query i sees keys 0 to i)",
    Formula("bottom-right"): "causal (the last query sees all keys, each earlier one a key less)",
    Formula(window=(3, -1)): "window (3 keys before the own place, all after it)",
    Formula(window=(-1, 0)): "window (all keys before the own place, 0 after it)",
    Formula(scale=2.0): "scores times 2",
    Formula(scale="1/d_k"): "scores times 1/d_k",
    Formula(softcap=50.0): "soft cap 50 * tanh(scores / 50)",
    Formula(kv_heads="grouped"): "grouped keys and values (query head h reads key head h // group)",
    Formula(qk_norm=QkNorm()): "queries and keys are normalised (by their root mean square, each head)",
    Formula(qk_norm=QkNorm("layer", 1e-5, "all", "1 + weight", "after-rotary")): (
        "queries and keys are normalised (by mean and variance, all heads together, eps 1e-05, times 1 + weight, "
        "after the rotation)"
    ),
    Formula(qk_norm=QkNorm("l2", "dtype")): "queries and keys are normalised (by their length, each head, eps of the dtype)",
    Formula(rotary=Rotary()): "rotary positions (base 10000, half layout, tables in float32)",
    Formula(rotary=Rotary(500.0, "interleaved", 0.25, 3, "dtype")): (
        "rotary positions (base 500, interleaved layout, the first 0.25 of the features, places from 3, "
        "tables in the dtype of the data)"
    ),
    Formula(bias="given"): "a given bias is added to the scores",
    Formula(bias=BiasTable()): "a learned bias of the distance is added to the scores (buckets, up to 128)",
    Formula(bias=BiasTable(direction="both")): (
        "a learned bias of the distance is added to the scores (buckets, both directions, up to 128)"
    ),
    Formula(bias=BiasTable(direction="past", max_distance=20)): (
        "a learned bias of the distance is added to the scores (buckets, earlier keys alone, up to 20)"
    ),
    Formula(bias=BiasTable("clipped")): "a learned bias of the clipped distance is added to the scores (a row for each)",
    Formula(bias=BiasTable("clipped", "past", order="key - query")): (
        "a learned bias of the clipped distance is added to the scores (a row for each, earlier keys alone, in the order of "
        "key - query)"
    ),
    Formula(bias="alibi"): (
        "ALiBi (the distance to the own place is taken off, times a slope of the head; slopes of the paper, for any H)"
    ),
    Formula(bias="alibi-geometric"): (
        "ALiBi (the distance to the own place is taken off, times a slope of the head; slopes 2^(-8 h / H) for every H)"
    ),
    Formula(sinks="learned"): "a sink (a learned logit of each head takes part in the softmax and has no value)",
    Formula(sinks=0.5): "a sink (the logit 0.5 takes part in the softmax and has no value)",
    Formula(lse="natural"): "the log-sum-exp of each row is returned (natural logarithm)",
    Formula(lse="base-2"): "the log-sum-exp of each row is returned (logarithm to base 2)",
    Formula(fill=Fill(-10000.0)): "the scores of masked keys are set to -10000",
    Formula(fill=Fill(-65504.0, "added")): "masked keys are hidden by adding -65504 to their scores",
}
ALL = Formula(
    "top-left", 2.0, (1, 1), 3.0, "grouped", Rotary(), "after-bias", "alibi", "learned", QkNorm(), "natural", Fill(-1e4)
)


@pytest.mark.parametrize("formula", WORDS, ids=str)
def test_the_words_of_one_feature(formula: Formula) -> None:
    assert formula.words == (WORDS[formula],)


def test_the_words_of_all_features_in_their_order() -> None:
    single = (Formula(**{name: getattr(ALL, name)}) for name in ("causal", "window", "scale", "softcap", "kv_heads", "qk_norm"))
    more = (Formula(**{name: getattr(ALL, name)}) for name in ("rotary", "bias", "sinks", "lse", "fill"))
    cap = "the soft cap takes scores and bias together"
    words = [one.words[0] for one in single], [one.words[0] for one in more]
    assert ALL.words == (*words[0], words[1][0], cap, *words[1][1:])
    assert Formula(bias="given", softcap=3.0, softcap_order="after-bias").words[-1] == cap
    assert Formula(softcap_order="after-bias").words == ()


def test_what_the_laws_of_plain_attention_are_told() -> None:
    """Each is empty where the feature that breaks the law is not there, and else names it as it is declared."""
    assert (PLAIN.where, PLAIN.between, PLAIN.joint, PLAIN.distant, PLAIN.sinking, PLAIN.capped, PLAIN.shared) == ("",) * 7
    assert ALL.where == "causal = 'top-left' and window = [1, 1] and rotary = 'half' and bias = 'alibi'"
    assert Formula(bias=BiasTable()).where == "bias = 'table'"
    assert ALL.between == "rotary = 'half' and qk_norm = 'rms'"
    assert Formula(qk_norm=QkNorm("l2")).between == "qk_norm = 'l2'"
    assert (ALL.joint, Formula(qk_norm=QkNorm(over="all")).joint) == ("", 'qk_norm with over = "all"')
    assert ALL.distant == "bias = 'alibi'"
    assert (Formula(bias=BiasTable()).distant, Formula(bias="given").distant) == ("bias = 'table'", "")
    assert (ALL.sinking, Formula(sinks=0.0).sinking) == ("sinks = 'learned'", "sinks = 0.0")
    assert ALL.capped == "softcap = 3 and sinks = 'learned'"
    assert ALL.shared == 'kv_heads = "grouped"'
    assert (ALL.positional, Formula(window=(1, 0)).positional, Formula("top-left").positional) == (True, True, True)
    assert (PLAIN.positional, Formula(rotary=Rotary()).positional) == (False, False)
    assert (ALL.caps_bias, PLAIN.caps_bias) == (True, False)


def test_what_the_formula_needs_must_be_given() -> None:
    maps = ProjectionWeights(*(Linear(numbers(n, 4, 4)) for n in range(4)))
    assert (maps.sinks, maps.table, maps.query_norm, maps.key_norm) == (None,) * 4
    x = numbers(1, 1, 2, 3, 4)
    with pytest.raises(ValueError, match=r"\Athe formula has learned sinks; they must be given\Z"):
        attention(x, x, x, None, PRECISIONS["float64"], formula=Formula(sinks="learned"))
    with pytest.raises(ValueError, match=r"\Athe formula has a table of biases; it must be given\Z"):
        attention(x, x, x, None, PRECISIONS["float64"], formula=Formula(bias=BiasTable()))


@pytest.mark.parametrize(
    ("causal", "direction", "count", "single"),
    [
        ("no", None, 32, 8),
        ("no", "past", 32, 16),
        ("top-left", None, 32, 16),
        ("bottom-right", "both", 6, 1),
        ("no", None, 2, 1),
    ],
)
def test_how_many_distances_have_a_bucket_each(causal: str, direction: str | None, count: int, single: int) -> None:
    assert bias_table.single_distances(BiasTable(direction=direction), causal, count) == single


@pytest.mark.parametrize(
    ("window", "rows"), [((0, 1), ["xx.", ".xx", "..x"]), ((1, 0), ["x..", "xx.", ".xx"]), ((0, 0), ["x..", ".x.", "..x"])]
)
def test_a_window_without_a_side(window: tuple[int, int], rows: list[str]) -> None:
    seen = Formula(window=window).visible(3, 3)
    assert seen is not None
    assert ["".join("x" if x else "." for x in row) for row in seen] == rows


def test_a_table_that_the_formula_does_not_have_gets_no_gradient() -> None:
    maps = ProjectionWeights(*(Linear(numbers(n, 4, 4)) for n in range(4)), table=numbers(5, 8, 2))
    x = numbers(1, 1, 3, 4)
    result = multi_head(x, x, x, maps, 2, None, PRECISIONS["float64"])
    assert "table" not in gradients(result, PRECISIONS["float64"], x).parameters


def test_a_sink_sees_every_query() -> None:
    assert sinks.seen(None, (1, 1, 2, 3)) is None
