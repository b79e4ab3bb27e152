"""What a field of a formula may be, at each border, and the whole of what is said where it is something else."""

from typing import Any

import pytest

from mhsa.oracle.formula.bias_fields import BiasTable, bias_of
from mhsa.oracle.formula.fields import (
    LEAST_FILL,
    Fill,
    QkNorm,
    Rotary,
    as_declared,
    fill_of,
    qk_norm_of,
    rotary_of,
)

INF = float("inf")
BIAS = "must be one of None, 'given', 'alibi', 'alibi-geometric', 'table', or a table of rule, direction, max_distance, order"
CLIPPED = 'max_distance is of the rule "t5", a clipped table has as many rows as distances; leave it out'
FILL = "must be a number, a table of number, how, or 'none'"


def undercut(number: str) -> str:
    return f"number = {number}; must be a finite number of -10000 or lower: scores that occur would undercut a higher one"


@pytest.mark.parametrize(
    ("make", "given", "message"),
    [
        (BiasTable, {"rule": "clip"}, "rule = 'clip'; must be one of 't5', 'swin', 'clipped'"),
        (BiasTable, {"rule": "clipped", "max_distance": 20}, CLIPPED),
        (BiasTable, {"rule": "clipped", "direction": "next"}, "direction = 'next'; must be one of 'both', 'past'"),
        (BiasTable, {"rule": "clipped", "order": "last"}, "order = 'last'; must be one of 'key - query', 'query - key'"),
        (BiasTable, {"order": "key - query"}, 'order is of the rule "clipped"; leave it out'),
        (BiasTable, {"rule": "swin", "max_distance": 20}, 'direction and max_distance are of the rule "t5"; leave them out'),
        (BiasTable, {"rule": "swin", "direction": "both"}, 'direction and max_distance are of the rule "t5"; leave them out'),
        (BiasTable, {"direction": "next"}, "direction = 'next'; must be one of 'both', 'past'"),
        (BiasTable, {"max_distance": 1}, "max_distance = 1; must be a whole number, 2 or more"),
        (BiasTable, {"max_distance": 8.0}, "max_distance = 8.0; must be a whole number, 2 or more"),
        (BiasTable, {"max_distance": True}, "max_distance = True; must be a whole number, 2 or more"),
        (Rotary, {"base": 1.0}, "base = 1.0; must be a number above 1"),
        (Rotary, {"base": INF}, "base = inf; must be a number above 1"),
        (Rotary, {"base": "10000"}, "base = '10000'; must be a number above 1"),
        (Rotary, {"layout": "pairs"}, "layout = 'pairs'; must be one of 'half', 'interleaved'"),
        (Rotary, {"fraction": 0.0}, "fraction = 0.0; must be a number above 0, at most 1"),
        (Rotary, {"fraction": 1.5}, "fraction = 1.5; must be a number above 0, at most 1"),
        (Rotary, {"fraction": True}, "fraction = True; must be a number above 0, at most 1"),
        (Rotary, {"offset": -1}, "offset = -1; must be a whole number, 0 or more"),
        (Rotary, {"offset": 1.0}, "offset = 1.0; must be a whole number, 0 or more"),
        (Rotary, {"tables": "float64"}, "tables = 'float64'; must be one of 'float32', 'dtype'"),
        (QkNorm, {"kind": "max"}, "kind = 'max'; must be one of 'rms', 'layer', 'l2'"),
        (QkNorm, {"over": "heads"}, "over = 'heads'; must be one of 'head', 'all'"),
        (QkNorm, {"gain": "2"}, "gain = '2'; must be one of 'weight', '1 + weight'"),
        (QkNorm, {"place": "last"}, "place = 'last'; must be one of 'before-rotary', 'after-rotary'"),
        (QkNorm, {"eps": 1.0}, "eps = 1.0; must be a number from 0 to below 1, or 'dtype'"),
        (QkNorm, {"eps": -0.1}, "eps = -0.1; must be a number from 0 to below 1, or 'dtype'"),
        (QkNorm, {"eps": "float"}, "eps = 'float'; must be a number from 0 to below 1, or 'dtype'"),
        (Fill, {"number": -9999.0}, undercut("-9999.0")),
        (Fill, {"number": -INF}, undercut("-inf")),
        (Fill, {"number": True}, undercut("True")),
        (Fill, {"number": -1e4, "how": "twice"}, "how = 'twice'; must be one of 'set', 'added'"),
    ],
)
def test_what_a_field_may_not_be(make: Any, given: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError) as raised:
        make(**given)
    assert str(raised.value) == message


@pytest.mark.parametrize(
    ("of", "value", "message"),
    [
        (bias_of, "t5", BIAS),
        (bias_of, 3, BIAS),
        (bias_of, {"buckets": 32}, "must be a table of rule, direction, max_distance, order, or the rule alone"),
        (fill_of, "lowest", FILL),
        (fill_of, {"how": "added"}, FILL),
        (fill_of, {"number": -1e4, "more": 1}, FILL),
        (rotary_of, 3, "must be a table of base, layout, fraction, offset, tables, or the layout alone"),
        (rotary_of, {"theta": 1e4}, "must be a table of base, layout, fraction, offset, tables, or the layout alone"),
        (qk_norm_of, 3, "must be a table of kind, eps, over, gain, place, or the kind alone"),
    ],
)
def test_what_a_declaration_may_not_be(of: Any, value: Any, message: str) -> None:
    with pytest.raises(ValueError) as raised:
        of(value)
    assert str(raised.value) == message


def test_what_is_just_allowed() -> None:
    assert BiasTable(max_distance=2).max_distance == 2
    assert (Rotary(base=1.5).base, Rotary(fraction=1.0, offset=0).fraction) == (1.5, 1.0)
    assert [Rotary(tables=each).tables for each in (None, "float32", "dtype")] == [None, "float32", "dtype"]
    assert [QkNorm(eps=each).eps for each in (0.0, 0.999, "dtype", None)] == [0.0, 0.999, "dtype", None]
    assert Fill(-LEAST_FILL).number == -10000.0


def test_declarations_in_every_form() -> None:
    assert [bias_of(each) for each in (None, "given", "alibi", "alibi-geometric")] == [
        None,
        "given",
        "alibi",
        "alibi-geometric",
    ]
    assert bias_of("table") == bias_of({}) == bias_of({"rule": "t5"}) == BiasTable()
    every = {"rule": "t5", "direction": "past", "max_distance": 20}
    assert bias_of(every) == bias_of(BiasTable("t5", "past", 20)) == BiasTable("t5", "past", 20)
    assert [fill_of(each) for each in (None, "none")] == [None, None]
    assert fill_of(-20000) == fill_of({"number": -20000}) == fill_of(Fill(-20000)) == Fill(-20000)
    assert fill_of({"number": -1e5, "how": "added"}) == Fill(-1e5, "added")
    assert (rotary_of(None), rotary_of("interleaved"), rotary_of(Rotary(3.0))) == (
        None,
        Rotary(layout="interleaved"),
        Rotary(3.0),
    )
    whole = {"base": 2.0, "layout": "half", "fraction": 0.5, "offset": 1, "tables": "dtype"}
    assert rotary_of(whole) == Rotary(2.0, "half", 0.5, 1, "dtype")
    assert (qk_norm_of("l2"), qk_norm_of({"eps": 0.1})) == (QkNorm("l2"), QkNorm(eps=0.1))


def test_as_it_is_declared() -> None:
    """The fields that differ from their defaults; of one that is all defaults the first field."""
    assert as_declared(Rotary(500.0, offset=2)) == {"base": 500.0, "offset": 2}
    assert as_declared(Rotary()) == {"base": 10000.0}
    assert as_declared(QkNorm()) == {"kind": "rms"}


@pytest.mark.parametrize(
    ("fraction", "step", "widths"), [(1.0, 2, (6, 8)), (0.5, 4, (3, 4)), (0.25, 8, (2, 2)), (0.3333333, 6, (2, 3))]
)
def test_how_many_features_are_rotated(fraction: float, step: int, widths: tuple[int, int]) -> None:
    of = Rotary(fraction=fraction)
    assert (of.step, (of.width(6), of.width(8))) == (step, widths)
