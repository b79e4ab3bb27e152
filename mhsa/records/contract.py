"""What an implementation promises where the field has no single answer."""

from __future__ import annotations

from dataclasses import InitVar, dataclass, fields
from typing import Any, Literal, get_args

from mhsa.oracle.formula.causal import Causal
from mhsa.oracle.formula.formula import Formula, KvHeads
from mhsa.oracle.formula.scale import Scale
from mhsa.oracle.formula.window import Window

FullyMaskedRow = Literal["zeros", "uniform", "zero-output", "finite", "nan"]
MaskMeaning = Literal["allowed", "blocked", "additive"]
MaskShape = Literal["[B, Tq, Tk]", "[B, 1, Tq, Tk]", "[B, Tk]"]
Masked = Literal["may-be-read", "never-read"]
ShapeMismatch = Literal["raises", "unchecked"]
Accumulation = Literal["float32", "dtype"]


# What fields and values were called before they had the field's words; a declaration that uses them keeps its meaning.
FORMER_NAMES = {"empty_row": "fully_masked_row", "misfits": "shape_mismatch"}
NUMBERS = ("scale", "window", "softcap")  # fields that may hold something else than a text
_FORMER_VALUES = {"indivisible": {"refused": "raises"}, "shape_mismatch": {"refused": "raises"}}


@dataclass(frozen=True)
class Contract:
    """The conventions by which a subject is judged; ``None`` means: find out by calling it, and print what was found.

    Attributes:
        fully_masked_row: a query that may attend to no key has weights of zero (``"zeros"``: the output is W_O's bias), of
            1 / Tk (``"uniform"``), an output of zero (``"zero-output"``), some finite output (``"finite"``), or NaN
            (``"nan"``, which needs ``reason``; the other rows are judged all the same).
        mask: what True means: ``"allowed"`` to attend (the usual meaning), ``"blocked"``, or ``"additive"``: the mask
            is a floating tensor, 0 where attention is allowed and -inf where not.
        mask_shape: of the mask that the implementation takes.
        masked: keys and values that no query may attend to ``"may-be-read"`` (and multiplied by a weight of zero, so that
            NaN there is NaN in the output), or are ``"never-read"``: they may hold NaN and infinities.
        indivisible: ``"raises"``: a constructor must raise for d_model % head != 0; ``"any"``: it need not.
        shape_mismatch: a mask, key or value whose sizes do not fit, or a mask in a form that is not taken, ``"raises"``, or is
            ``"unchecked"``, as in code that slices and loops and looks at what it needs.
        float64_in: ``"float32"`` if float64 data is computed in float32 inside, and is judged with that roundoff.
        accumulation: of sums over bfloat16 and float16 data: in ``"float32"``, or in the ``"dtype"`` itself.
        reason: why a deviation is accepted, with a link.
        causal: ``"no"``, or no query sees a key after its own place: query i is at key i (``"top-left"``), or the last query is
            at the last key (``"bottom-right"``, as with a cache).
        scale: the factor of the scores, a number above 0 or ``"1/d_k"``; None is 1 / sqrt(d_k).
        window: (left, right), keys before and after the own place that are seen, -1 for all; None is all keys.
        softcap: c > 0 of c * tanh(scores / c), before the mask; None is no cap.
        kv_heads: ``"grouped"``: there may be fewer heads of keys and values, and query head h reads key head h // group; None
            is as many as there are heads.
        empty_row: the former name of ``fully_masked_row``.
        misfits: the former name of ``shape_mismatch``.
    """

    fully_masked_row: FullyMaskedRow | None = None
    mask: MaskMeaning = "allowed"
    mask_shape: MaskShape | None = None
    masked: Masked = "may-be-read"
    indivisible: Literal["raises", "any"] = "raises"
    shape_mismatch: ShapeMismatch = "unchecked"
    float64_in: Literal["float64", "float32"] | None = None
    accumulation: Accumulation = "float32"
    reason: str = ""
    # The formula: what is computed beside plain attention.
    causal: Causal = "no"
    scale: Scale = None
    window: Window | None = None
    softcap: float | None = None
    kv_heads: KvHeads = None
    empty_row: InitVar[str | None] = None
    misfits: InitVar[str | None] = None

    def __post_init__(self, empty_row: str | None, misfits: str | None) -> None:
        for former, value in (("empty_row", empty_row), ("misfits", misfits)):
            if value is not None:
                object.__setattr__(self, FORMER_NAMES[former], value)
        for name, values in _FORMER_VALUES.items():
            value = getattr(self, name)
            object.__setattr__(self, name, values.get(value, value))
        allowed: dict[str, tuple[Any, ...]] = {
            "fully_masked_row": (None, *get_args(FullyMaskedRow)),
            "mask": get_args(MaskMeaning),
            "mask_shape": (None, *get_args(MaskShape)),
            "masked": get_args(Masked),
            "indivisible": ("raises", "any"),
            "shape_mismatch": get_args(ShapeMismatch),
            "float64_in": (None, "float64", "float32"),
            "accumulation": get_args(Accumulation),
            "causal": get_args(Causal),
            "kv_heads": (None, "grouped"),
        }
        for field in fields(self):
            given = getattr(self, field.name)
            if field.name in allowed and given not in allowed[field.name]:
                listed = ", ".join(repr(a) for a in allowed[field.name])
                raise ValueError(f"Contract({field.name}={given!r}); must be one of {listed}")
        self._check_formula()
        if self.fully_masked_row == "nan" and not self.reason:
            raise ValueError("Contract(fully_masked_row='nan') needs a reason: say why NaN is accepted, with a link")

    def _check_formula(self) -> None:
        for name in ("scale", "softcap"):
            value = getattr(self, name)
            number = isinstance(value, (int, float)) and not isinstance(value, bool)
            if value is None or (name == "scale" and value == "1/d_k") or (number and 0.0 < value < float("inf")):
                continue
            also = ", '1/d_k'" if name == "scale" else ""
            raise ValueError(f"Contract({name}={value!r}); must be a number above 0{also} or None")
        if self.window is None:
            return
        sides = tuple(self.window) if isinstance(self.window, (list, tuple)) else ()
        if len(sides) != 2 or not all(type(side) is int and side >= -1 for side in sides) or sides == (-1, -1):
            raise ValueError(
                f"Contract(window={self.window!r}); must be [left, right]: how many keys before and after the own place are "
                "seen, -1 for all on one side"
            )
        object.__setattr__(self, "window", sides)  # TOML has lists

    @property
    def formula(self) -> Formula:
        """What is computed."""
        return Formula(self.causal, self.scale, self.window, self.softcap, self.kv_heads)
