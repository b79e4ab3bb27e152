"""The fields of a contract that state the formula: what they take, from TOML too, and what is said where they are wrong."""

from dataclasses import replace
from pathlib import Path

import pytest

from mhsa.oracle.formula.fields import Fill, QkNorm, Rotary
from mhsa.oracle.formula.formula import PLAIN, Formula
from mhsa.records.case import Case
from mhsa.records.case_files.case_json import decode, encode
from mhsa.records.configuration import ConfigurationError, read
from mhsa.records.contract import Contract
from mhsa.records.declarations import declared_field, in_words


def test_a_contract_has_its_formula() -> None:
    contract = Contract(causal="bottom-right", scale=0.5, window=[3, 0], softcap=50, kv_heads="grouped")
    assert contract.formula == Formula("bottom-right", 0.5, (3, 0), 50, "grouped")
    assert Contract(kv_heads=2).formula == Formula(kv_heads="grouped")
    assert Contract().formula == PLAIN
    assert hash(contract)  # the list of TOML is a tuple


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"causal": "yes"}, "must be one of None, 'no', 'top-left', 'bottom-right'"),
        ({"scale": 0}, "must be a number above 0, '1/d_k' or None"),
        ({"scale": "1/sqrt(d_k)"}, "must be a number above 0, '1/d_k' or None"),
        ({"softcap": -5.0}, "must be a number above 0 or None"),
        ({"softcap": True}, "must be a number above 0 or None"),
        ({"window": 3}, "must be [left, right]"),
        ({"window": [3]}, "must be [left, right]"),
        ({"window": [-2, 0]}, "must be [left, right]"),
        ({"window": [-1, -1]}, "must be [left, right]"),
        ({"kv_heads": 0}, "must be 'grouped', a whole number of at least 1, or None"),
        ({"kv_heads": True}, "must be 'grouped', a whole number of at least 1, or None"),
        ({"kv_heads": "all"}, "must be 'grouped', a whole number of at least 1, or None"),
        ({"causal": True}, "must be 'top-left' (query i sees the keys 0 to i), 'bottom-right'"),
        ({"rotary": 3}, "must be a table of base, layout, fraction, offset, tables, or the layout alone"),
        ({"rotary": {"theta": 1e4}}, "must be a table of base, layout, fraction, offset, tables, or the layout alone"),
        ({"rotary": "halves"}, "layout = 'halves'; must be one of 'half', 'interleaved'"),
        ({"rotary": {"base": 1}}, "base = 1; must be a number above 1"),
        ({"rotary": {"fraction": 2.0}}, "fraction = 2.0; must be a number above 0, at most 1"),
        ({"rotary": {"offset": -1}}, "offset = -1; must be a whole number, 0 or more"),
        ({"rotary": {"tables": "float16"}}, "tables = 'float16'; must be one of 'float32', 'dtype'"),
        ({"bias": "t5"}, "must be one of None, 'given', 'alibi', 'alibi-geometric'"),
        ({"bias": {"max_distance": 1}}, "max_distance = 1; must be a whole number, 2 or more"),
        ({"bias": {"direction": "future"}}, "direction = 'future'; must be one of 'both', 'past'"),
        ({"bias": {"rule": "swim"}}, "rule = 'swim'; must be one of 't5', 'swin', 'clipped'"),
        ({"bias": {"buckets": 32}}, "must be a table of rule, direction, max_distance"),
        ({"softcap_order": "first"}, "must be one of 'before-bias', 'after-bias'"),
        ({"sinks": "constant"}, "must be 'learned', a number or None"),
        ({"sinks": True}, "must be 'learned', a number or None"),
        ({"lse": "ln"}, "must be one of None, 'natural', 'base-2'"),
        ({"qk_norm": "max"}, "kind = 'max'; must be one of 'rms', 'layer', 'l2'"),
        ({"qk_norm": {"epsilon": 1e-6}}, "must be a table of kind, eps, over, gain, place, or the kind alone"),
        ({"qk_norm": {"eps": -1e-6}}, "eps = -1e-06; must be a number from 0 to below 1, or 'dtype'"),
        ({"qk_norm": {"over": "heads"}}, "over = 'heads'; must be one of 'head', 'all'"),
        ({"qk_norm": {"gain": "none"}}, "gain = 'none'; must be one of 'weight', '1 + weight'"),
        ({"qk_norm": {"place": "last"}}, "place = 'last'; must be one of 'before-rotary', 'after-rotary'"),
        ({"fill": -10.0}, "number = -10.0; must be a finite number of -10000 or lower"),
        ({"fill": True}, "must be a number, a table of number, how, or 'none'"),
        ({"fill": "lowest"}, "must be a number, a table of number, how, or 'none'"),
        ({"fill": {"how": "added"}}, "must be a number, a table of number, how, or 'none'"),
        ({"fill": {"number": -1e4, "how": "twice"}}, "how = 'twice'; must be one of 'set', 'added'"),
        ({"fill": float("-inf")}, "must be a finite number of -10000 or lower"),
        ({"sinks": float("inf")}, "must be 'learned', a number or None"),
    ],
)
def test_what_is_wrong_is_said(fields: dict, words: str) -> None:
    with pytest.raises(ValueError, match=f"Contract\\({next(iter(fields))}=") as refused:
        Contract(**fields)
    assert words in str(refused.value)


def test_a_fill_is_declared_as_a_number_or_a_table() -> None:
    contract = Contract(fill={"number": -10000, "how": "added"})
    assert contract.formula.fill == Fill(-10000, "added")
    assert in_words({"fill": contract.fill}) == 'fill = {number = -10000, how = "added"}'
    assert declared_field("fill=-32752.0") == ("fill", -32752.0)
    assert Contract(fill=-32752.0).formula.words == ("the scores of masked keys are set to -32752",)


def test_a_table_is_declared_and_written_again() -> None:
    contract = Contract(rotary={"base": 500000, "layout": "interleaved"})
    assert contract.formula.rotary == Rotary(500000, "interleaved")
    assert Contract(rotary="half").formula.rotary == Rotary()
    assert hash(contract)
    assert in_words({"rotary": contract.rotary}) == 'rotary = {base = 500000, layout = "interleaved"}'
    assert declared_field("rotary={base = 500.0, fraction = 0.25}") == ("rotary", {"base": 500.0, "fraction": 0.25})
    assert declared_field("rotary=half") == ("rotary", "half")
    assert [Rotary(fraction=f).step for f in (1.0, 0.5, 0.25, 0.75, 0.3333333)] == [2, 4, 8, 8, 6]


def test_a_normalisation_is_declared_and_written_again() -> None:
    contract = Contract(qk_norm={"kind": "layer", "eps": 1e-5, "over": "all"})
    assert contract.formula.qk_norm == QkNorm("layer", 1e-5, "all")
    assert Contract(qk_norm="l2").formula.qk_norm == QkNorm("l2")
    assert hash(contract)
    assert in_words({"qk_norm": contract.qk_norm}) == 'qk_norm = {kind = "layer", eps = 1e-05, over = "all"}'
    assert declared_field("qk_norm=rms") == ("qk_norm", "rms")
    assert declared_field('qk_norm={kind = "rms", eps = 1e-5}') == ("qk_norm", {"kind": "rms", "eps": 1e-5})


def test_what_acts_on_scores_is_in_the_formula() -> None:
    contract = Contract(bias="alibi", sinks=0, softcap=5.0, softcap_order="after-bias")
    assert contract.formula == Formula(bias="alibi", sinks=0, softcap=5.0, softcap_order="after-bias")
    assert declared_field("sinks=learned") == ("sinks", "learned")
    assert declared_field("sinks=0") == ("sinks", 0)
    assert declared_field("bias=alibi-geometric") == ("bias", "alibi-geometric")


def test_a_case_with_a_bias_is_kept_and_one_without_looks_as_before() -> None:
    case = Case("float64", 2, 3, 4, 5, 2, bias="heads")
    assert case.score_bias().shape == (1, 3, 4, 5)
    assert decode(encode({"case": case}))["case"] == case
    assert "bias heads" in str(case)
    plain = replace(case, bias="none")
    assert (plain.score_bias(), "bias" in plain.as_dict(), "bias" in str(plain)) == (None, False, False)
    assert decode(encode({"case": plain}))["case"] == plain
    with pytest.raises(ValueError, match="a case with bias='few'"):
        replace(case, bias="few").require_known()


def test_numbers_and_lists_come_from_toml(tmp_path: Path) -> None:
    file = tmp_path / "pyproject.toml"
    file.write_text(
        '[tool.mhsa.subjects.a]\nsubject = "a.py"\ncontract = { causal = "top-left", window = [3, 0], softcap = 5.0 }\n'
    )
    (request,) = read(file).requests
    assert Contract(**request.contract).formula == Formula("top-left", None, (3, 0), 5.0)
    file.write_text('[tool.mhsa.subjects.a]\nsubject = "a.py"\ncontract = { softcap = "5" }\n')
    with pytest.raises(ConfigurationError, match=r"pyproject.toml:3: .*Contract\(softcap='5'\); must be a number above 0"):
        read(file)
