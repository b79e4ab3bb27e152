"""Number formats: what one rounding costs. No torch here, so the oracle stays independent of it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Precision:
    """How an implementation rounds.

    Attributes:
        name: of the dtype whose data it is.
        unit: unit roundoff of a stored result: rounding to nearest changes x by at most ``unit * |x|``.
        accumulation: unit roundoff inside sums and matrix products.
        tiny: largest absolute error of a result that underflows, flush to zero included.
    """

    name: str
    unit: float
    accumulation: float
    tiny: float


_SINGLE = 2.0**-24

# Units: IEEE 754 and bfloat16 have 53, 24, 11 and 8 significant bits. Accumulation: the half formats are summed in
# float32 by every CPU and GPU matrix product that torch calls by default. Tiny: the smallest normal number, because
# exp and some kernels flush subnormals to zero; float16 keeps them everywhere, so there it is one subnormal step.
PRECISIONS = {
    "float64": Precision("float64", 2.0**-53, 2.0**-53, 2.0**-1022),
    "float32": Precision("float32", _SINGLE, _SINGLE, 2.0**-126),
    "bfloat16": Precision("bfloat16", 2.0**-8, _SINGLE, 2.0**-126),
    "float16": Precision("float16", 2.0**-11, _SINGLE, 2.0**-24),
}
