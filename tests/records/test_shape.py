"""Shapes have names or sizes, wherever they are typed."""

import pytest

from mhsa.records.shape import SHAPES, Shape, shape_of


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("wide", SHAPES["wide"]),
        ("  many   heads ", SHAPES["many heads"]),
        ("long 1000", Shape("long 1000", 1, 1000, 8, 256)),
        ("4x128x8x256", Shape("4x128x8x256", 4, 128, 8, 256)),
        ("2x1/64x8x256", Shape("2x1/64x8x256", 2, 64, 8, 256, 1)),
        ("2x64/64x8x256", Shape("2x64/64x8x256", 2, 64, 8, 256)),
    ],
)
def test_shapes_have_names_or_sizes(name: str, shape: Shape) -> None:
    assert shape_of(name) == shape


@pytest.mark.parametrize(
    "name",
    [
        "",
        "long",
        "long 0",
        "long x",
        "long -3",
        "long 999999999",
        "1x2x3",
        "1x2x3x4x5",
        "1x1x3x4",
        "99999999x1x1x1",
        "1x0/4x1x1",
        "1x5/4x1x1",
        "1/4x1x1",
    ],
)
def test_what_is_no_shape_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="shape"):
        shape_of(name)


def test_queries_are_few_where_they_are_stated() -> None:
    few, all_of_them = shape_of("2x3/64x8x256"), shape_of("2x64x8x256")
    assert (few.asked, few.scores, str(few)) == (3, 2 * 8 * 3 * 64, "B=2 Tq=3 Tk=64 H=8 d_model=256")
    assert (all_of_them.asked, all_of_them.scores) == (64, 2 * 8 * 64 * 64)
