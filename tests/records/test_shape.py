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
    ],
)
def test_shapes_have_names_or_sizes(name: str, shape: Shape) -> None:
    assert shape_of(name) == shape


@pytest.mark.parametrize(
    "name", ["", "long", "long 0", "long x", "long -3", "long 999999999", "1x2x3", "1x2x3x4x5", "1x1x3x4", "99999999x1x1x1"]
)
def test_what_is_no_shape_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="shape"):
        shape_of(name)
