"""Formulas of layers: how they are read, put in order, and which of them nobody means."""

from typing import Any

import pytest

from mhsa.records.contract import Contract
from mhsa.records.conventions.layer import layer_of
from mhsa.records.conventions.usual_layers import is_usual, mistake_in

STREAM = "x + attention(norm(x))"
DECODER = "a = norm(x + attention(x)); b = norm(a + attention(a, y)); norm(b + feed_forward(b))"


@pytest.mark.parametrize(
    ("text", "ordered"),
    [
        ("attention(norm(x))+x", STREAM),
        ("norm( attention(x) + x )", "norm(x + attention(x))"),
        ("feed_forward(y) + x + attention(map(x))", "x + attention(map(x)) + feed_forward(y)"),
        ("(x + y) + z", "x + y + z"),
        ("b = x + attention(x); b + feed_forward(b)", "a = x + attention(x); a + feed_forward(a)"),
        ("x + attention(norm(x)) + feed_forward(x + attention(norm(x)))", "a = x + attention(norm(x)); a + feed_forward(a)"),
        ("x + attention(x, y, z)", "x + attention(x)"),
        ("x + attention(norm(x), norm(x), norm(x))", STREAM),
        ("x + attention(norm(x), norm(x), x)", "x + attention(norm(x), norm(x), x)"),
        (DECODER, DECODER),
        ("scale(attention(norm(x), y)) + x", "x + scale(attention(norm(x)))"),
    ],
)
def test_terms_are_put_in_order(text: str, ordered: str) -> None:
    assert str(layer_of(text)) == ordered
    assert Contract(layer=text).layer == ordered


@pytest.mark.parametrize(
    "text",
    [
        "x + attn(x)",
        "x - attention(x)",
        "x +",
        "norm(x, y)",
        "norm()",
        "q",
        "2 * x",
        "norm(x=x)",
        "",
        5,
        "a",
        "a = x",
        "a = b; a",
        "x = y; x",
        "a = b = x; a",
        "a += x; a",
        "attention(x, y, z, x)",
        "feed_forward(x, y)",
    ],
)
def test_other_text_is_refused_with_what_it_can_be(text: Any) -> None:
    with pytest.raises(ValueError, match=r"Contract\(layer=.*must be a sum of x, y, z .*say 'x \+ attention\(norm\(x\)\)'"):
        Contract(layer=text)


def test_a_layer_and_nothing_around_it_contradict_each_other() -> None:
    with pytest.raises(ValueError, match="must be None or 'left-out' with a layer"):
        Contract(layer=STREAM, surroundings="none")


@pytest.mark.parametrize(
    "text",
    [
        "norm(x + attention(x)) + feed_forward(norm(x + attention(x)))",
        "attention(x)", STREAM, "norm(x + attention(x))", "norm(attention(x))", "x + norm(attention(norm(x)))",
        f"{STREAM} + feed_forward(norm({STREAM}))", f"norm({STREAM} + feed_forward(norm({STREAM})))",
        "x + norm(attention(norm(x))) + norm(feed_forward(norm(x + norm(attention(norm(x))))))",
        "norm(norm(x + attention(x)) + feed_forward(norm(x + attention(x))))", f"{STREAM} + feed_forward(norm(x))",
        "attention(x) + feed_forward(norm(attention(x)))", DECODER, "sublayer(norm(x))", "x + sublayer(norm(x))",
        "a = x + attention(norm(x)); b = a + attention(norm(a), norm(y)); b + feed_forward(norm(b))",
        "a = x + feed_forward(norm(x)); a + attention(norm(a))", "map(x) + attention(norm(map(x)))",
        "attention(norm(x), norm(y))", "x + scale(attention(norm(x)))", "norm(x + scale(attention(x)))",
        "a = x + scale(attention(norm(x))); a + feed_forward(norm(a))", "x + scale(sublayer(norm(x)))",
        "x + scale(norm(attention(norm(x))))",
        "a = x + attention(norm(x)); b = a + scale(attention(a, y)); b + feed_forward(b)",
        "x + scale(attention(norm(x))) + feed_forward(norm(x))",
    ],
)  # fmt: skip
def test_usual_forms(text: str) -> None:
    assert is_usual(layer_of(text))
    assert not mistake_in(layer_of(text))


@pytest.mark.parametrize(
    "text",
    [
        "norm(x + attention(x)) + norm(feed_forward(norm(x + attention(x))))",
        "norm(x) + attention(norm(x))",
        "x + norm(attention(x))", "y + attention(x)", "x + attention(norm(x), norm(x), x)",
        "x + attention(norm(x), x)", "a = norm(x + attention(x)); norm(a + attention(a, x))",
        "a = norm(x + attention(x)); norm(a + attention(a, norm(y), y))",
        "a = x + attention(norm(x)); attention(norm(a), y)", "attention(attention(x))",
        f"feed_forward(norm({STREAM}))", "x + feed_forward(attention(x))",
        "norm(x) + scale(attention(norm(x)))", "x + scale(norm(attention(x)))", "scale(x + attention(x))",
        # Some steps with a norm in front, another one behind its sum.
        "a = norm(x + attention(norm(x))); b = a + attention(a, y); b + feed_forward(norm(b))",
        "a = norm(x + attention(x)); a + feed_forward(norm(a))",
    ],
)  # fmt: skip
def test_unusual_forms_that_somebody_may_mean(text: str) -> None:
    assert not is_usual(layer_of(text))
    assert not mistake_in(layer_of(text))


@pytest.mark.parametrize(
    "text",
    [
        "x + x + attention(x)", "x + attention(x) + attention(x)", "norm(x + x + attention(x))",
        f"attention(norm(x)) + feed_forward(norm({STREAM}))", f"x + feed_forward({STREAM})",
        f"x + x + attention(norm(x)) + feed_forward(norm({STREAM}))", "x + x + sublayer(x)",
        "a = norm(x + attention(x)); norm(a + attention(x) + feed_forward(a))",
        "a = norm(x + attention(x)); b = norm(x + attention(a, y)); norm(b + feed_forward(b))",
        "x + x + scale(attention(x))", "x + attention(x) + scale(attention(x))",
        "a = norm(x + scale(attention(x))); b = norm(x + scale(attention(a, y))); norm(b + feed_forward(b))",
        "scale(attention(norm(x))) + feed_forward(norm(x + scale(attention(norm(x)))))",
    ],
)  # fmt: skip
def test_mistakes(text: str) -> None:
    assert mistake_in(layer_of(text))
    assert not is_usual(layer_of(text))
