"""The values of a contract's fields that are words."""

from __future__ import annotations

from typing import Literal

FullyMaskedRow = Literal["zeros", "uniform", "zero-output", "finite", "nan", "raises"]
MaskMeaning = Literal["allowed", "blocked", "additive", "lengths"]
# In the order in which they are tried: most say everything that a mask can say, the last ones the same for every query.
MaskShape = Literal[
    "[B, Tq, Tk]", "[B, 1, Tq, Tk]", "[B, H, Tq, Tk]", "[B*H, Tq, Tk]", "[Tq, Tk, B]", "[Tq, Tk]",
    "[B, Tk]", "[B, 1, 1, Tk]", "[B, 1, Tk]", "[B, Tk, 1]", "[B, Tq]", "[B]",
]  # fmt: skip
LENGTH_SHAPES: tuple[MaskShape, ...] = ("[B, Tq]", "[B]")  # of the numbers of keys that mask = "lengths" gives
Layout = Literal[
    "BTD", "TBD", "BDT", "BCHW", "BD1T", "BHWC", "BNTD", "BTND", "TNBD", "BCDHW", "BDHWC",
    "BCHN", "BCDNN", "BCNHN", "BCNNW", "BCNHW",
    "BCHW,BTD", "BTD,BCHW", "BDT>BTD",
    "BHTD", "BTHD", "(BH)TD", "BHDT", "BDHT",
]  # fmt: skip
FUNCTION_LAYOUTS: tuple[Layout, ...] = ("BHTD", "BTHD", "(BH)TD", "BHDT", "BDHT")  # of a function's queries, keys, values
Lengths = Literal["any", "equal"]
Strides = Literal["any", "contiguous"]
Masked = Literal["may-be-read", "never-read"]
ShapeMismatch = Literal["raises", "unchecked"]
Surroundings = Literal["none", "left-out"]
Out = Literal["projection", "none"]
Maps = Literal["projection", "none", "shared by heads"]
Widths = Literal["equal", "apart"]
Heads = Literal[
    "consecutive", "interleaved", "interleaved-where-split",
    "interleaved-queries", "interleaved-keys", "interleaved-queries-and-keys", "interleaved-values",
]  # fmt: skip
Accumulation = Literal["float32", "dtype"]
Indivisible = Literal["raises", "any"]
Dropout = Literal["applied", "never"]
SpareParameters = Literal["none", "any"]
Counters = Literal["none", "any"]
PaddedQueries = Literal["computed", "zero"]
AfterInference = Literal["trains", "raise"]
BiasSwitch = Literal["all", "some"]
Weights = Literal["softmax", "scores"]  # that are returned
Float64In = Literal["float64", "float32"]
