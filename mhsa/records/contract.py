"""What an implementation promises where the field has no single answer."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import InitVar, dataclass, fields
from typing import TYPE_CHECKING, Any, Literal, get_args

from mhsa.oracle.formula.fields import (
    Bias,
    Causal,
    Fill,
    KvHeads,
    Lse,
    QkNorm,
    Rotary,
    Scale,
    Sinks,
    SoftcapOrder,
    Window,
    bias_of,
    fill_of,
    qk_norm_of,
    rotary_of,
)

if TYPE_CHECKING:
    from mhsa.oracle.formula.formula import Formula

FullyMaskedRow = Literal["zeros", "uniform", "zero-output", "finite", "nan"]
MaskMeaning = Literal["allowed", "blocked", "additive", "lengths"]
# In the order in which they are tried: most say everything that a mask can say, the last ones the same for every query.
MaskShape = Literal[
    "[B, Tq, Tk]", "[B, 1, Tq, Tk]", "[B, H, Tq, Tk]", "[B*H, Tq, Tk]", "[Tq, Tk, B]", "[Tq, Tk]",
    "[B, Tk]", "[B, 1, 1, Tk]", "[B, 1, Tk]", "[B, Tk, 1]", "[B, Tq]", "[B]",
]  # fmt: skip
LENGTH_SHAPES: tuple[MaskShape, ...] = ("[B, Tq]", "[B]")  # of the numbers of keys that mask = "lengths" gives
Layout = Literal["BTD", "TBD", "BDT", "BCHW", "BD1T", "BHWC", "BNTD", "BHTD", "BTHD", "(BH)TD"]
FUNCTION_LAYOUTS: tuple[Layout, ...] = ("BHTD", "BTHD", "(BH)TD")  # of a function's queries, keys and values
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


# What fields and values were called before they had the field's words; a declaration that uses them keeps its meaning.
FORMER_NAMES = {"empty_row": "fully_masked_row", "misfits": "shape_mismatch"}
NUMBERS = (
    "bias",
    "scale",
    "window",
    "softcap",
    "rotary",
    "sinks",
    "qk_norm",
    "kv_heads",
    "fill",
)  # fields that may hold something else than a text
_FORMER_VALUES = {"indivisible": {"refused": "raises"}, "shape_mismatch": {"refused": "raises"}}


@dataclass(frozen=True)
class Contract:
    """The conventions by which a subject is judged; ``None`` means: find out by calling it, and print the result.

    Attributes:
        fully_masked_row: a query that may attend to no key has weights of zero (``"zeros"``: the output is W_O's bias), of
            1 / Tk (``"uniform"``), an output of zero (``"zero-output"``), some finite output (``"finite"``), or NaN
            (``"nan"``, which needs ``reason``; the other rows are judged all the same).
        mask: what True means: ``"allowed"`` to attend (the usual meaning), ``"blocked"``, or ``"additive"``: the mask
            is a floating tensor, 0 where attention is allowed and -inf where not; ``"lengths"``: no mask but the number of
            keys, the first of their sample, that may be attended to.
        mask_shape: of the mask that the implementation takes, ``"[B, Tq, Tk]"`` say; of lengths ``"[B]"`` or ``"[B, Tq]"``.
        layout: of what the implementation takes and returns. Modules: ``"BTD"`` (the usual one), ``"TBD"`` (time first),
            ``"BDT"`` (channels first), ``"BCHW"`` (tokens are pixels), ``"BD1T"`` (pixels of one row), ``"BHWC"`` (pixels,
            channels last), ``"BNTD"`` (two axes of samples, which masks need not have). Functions of heads: ``"BHTD"`` (the
            usual one), ``"BTHD"``, ``"(BH)TD"``.
        lengths: of queries and keys: ``"any"`` may meet (None is that, too), or they must be ``"equal"``: other numbers of
            queries are judged in several calls, each with as many queries as keys; where the formula counts places, not at all.
        strides: query, key and value may lie in memory in ``"any"`` way (None is that, too), or must be ``"contiguous"``.
        masked: keys and values that no query may attend to ``"may-be-read"`` (and multiplied by a weight of zero, so that
            NaN there is NaN in the output), or are ``"never-read"``: they may hold NaN and infinities.
        indivisible: ``"raises"``: a constructor must raise for d_model % head != 0; ``"any"``: it need not. None: one that does
            not is a question, if nothing else is wrong.
        shape_mismatch: a mask, key or value whose sizes do not fit, or a mask in a form that is not taken, ``"raises"``, or is
            ``"unchecked"``, as in code that slices and loops and looks at what it needs.
        float64_in: ``"float32"`` if float64 data is computed in float32 inside, and is judged with that roundoff.
        surroundings: a norm, a residual or a feed-forward around the attention is ``"left-out"``: what its out projection
            gives is judged; ``"none"``: the module's output must be that of attention.
        attention: path of the one that is judged, ``"self_attn"`` say, of a layer with several attentions, as a decoder has;
            it is called through the layer, whose other attentions give nothing.
        heads: which features belong to head h of H: the ``"consecutive"`` ones from h * d_k (None is that, too), or every H-th
            one from the h-th (``"interleaved"``), both where heads are split and where they are merged, or
            ``"interleaved-where-split"`` and consecutive where they are merged; ``"interleaved-queries"``,
            ``"interleaved-keys"``, ``"interleaved-queries-and-keys"`` or ``"interleaved-values"``: those of these alone, and
            heads of values are merged as they are split.
        accumulation: of sums over bfloat16 and float16 data: in ``"float32"``, or in the ``"dtype"`` itself.
        reason: why a deviation is accepted, with a link.
        causal: ``"no"``; or no query sees a key after its own place: query i is at key i (``"top-left"``), or the last query is
            at the last key (``"bottom-right"``, as with a cache).
        scale: the factor of the scores, a number above 0 or ``"1/d_k"``; None is 1 / sqrt(d_k).
        window: (left, right), keys before and after the own place that are seen, -1 for all; None is all keys.
        softcap: c > 0 of c * tanh(scores / c), before the mask; None is no cap.
        kv_heads: ``"grouped"``: there may be fewer heads of keys and values, and query head h reads key head h // group; a
            number is the same, and there are that many wherever the number of heads is a multiple of it; None is as many as
            there are heads.
        rotary: a table of ``base``, ``layout`` ("half", "interleaved"), ``fraction``, ``offset``, ``tables`` ("float32",
            "dtype"), or the layout alone: queries and keys are rotated by their places; None is not at all.
        bias: ``"given"``: the caller gives a floating [B or 1, H or 1, Tq, Tk], in an argument of its own or as the mask, that
            is added to the scaled scores; ``"alibi"``: minus a slope of the head times the distance to the own place, with the
            paper's slopes for every number of heads, or ``"alibi-geometric"``, 2^(-8 h / H) for every H; ``"table"``: a
            parameter [buckets, H] of which the bucket of the distance is added, or a table of ``rule`` ("t5"), ``direction``
            ("both", "past") and ``max_distance``; None is none.
        sinks: one more logit takes part in the softmax and has no value: ``"learned"``, a parameter [H], or a number
            (softmax-off-by-one is 0); None is none.
        softcap_order: the soft cap comes ``"before-bias"`` (the bias is added to capped scores) or ``"after-bias"``.
        qk_norm: a table of ``kind`` ("rms", "layer", "l2"), ``eps``, ``over`` ("head", "all"), ``gain`` ("weight",
            "1 + weight"), ``place`` ("before-rotary", "after-rotary"), or the kind alone: queries and keys are normalised,
            with a gain where the module has one; None is not at all.
        lse: the logarithm of each row's sum of exponentials is returned, too, [B, H, Tq]: ``"natural"``, or to ``"base-2"``;
            None: found out, where it is exactly that.
        fill: the finite number that hides masked keys, -10000 or lower, where others have -inf: that nothing of a masked key
            is seen is then promised of scores within it alone. A table of ``number`` and ``how`` ("set": the scores of
            masked keys are the number; "added": it is added to them), or the number alone, which is set; ``"none"`` is -inf,
            and None is, too, but a number that alone makes a right module wrong is a question.
        out: there is an out ``"projection"``, or ``"none"``: the merged heads are the output; None: found out.
        projections: of query, key and value: ``"projection"``, ``"none"``, or one that is ``"shared by heads"``, of a head's
            own features; None: found out.
        widths: all are ``"equal"`` (None is that), or ``"apart"``: a function's values are wider than its queries and keys,
            and a module's inputs are wider than d_model wherever its constructor names their widths (``input_dim``, ``kdim``).
        empty_row: the former name of ``fully_masked_row``.
        misfits: the former name of ``shape_mismatch``.
    """

    fully_masked_row: FullyMaskedRow | None = None
    mask: MaskMeaning | None = None
    mask_shape: MaskShape | None = None
    layout: Layout | None = None
    lengths: Lengths | None = None
    strides: Strides | None = None
    masked: Masked = "may-be-read"
    indivisible: Literal["raises", "any"] | None = None
    shape_mismatch: ShapeMismatch = "unchecked"
    float64_in: Literal["float64", "float32"] | None = None
    accumulation: Accumulation = "float32"
    surroundings: Surroundings | None = None
    attention: str | None = None
    heads: Heads | None = None
    reason: str = ""
    # The formula: what is computed in addition to plain attention.
    causal: Causal | None = None
    scale: Scale = None
    window: Window | None = None
    softcap: float | None = None
    kv_heads: KvHeads | int = None
    rotary: Rotary | Mapping[str, Any] | str | None = None
    softcap_order: SoftcapOrder = "before-bias"
    bias: Bias | Mapping[str, Any] | Literal["table"] = None
    sinks: Sinks = None
    qk_norm: QkNorm | Mapping[str, Any] | str | None = None
    lse: Lse = None
    fill: Fill | Mapping[str, Any] | float | Literal["none"] | None = None
    out: Out | None = None
    projections: Maps | None = None
    widths: Widths | None = None
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
            "mask": (None, *get_args(MaskMeaning)),
            "mask_shape": (None, *get_args(MaskShape)),
            "layout": (None, *get_args(Layout)),
            "lengths": (None, *get_args(Lengths)),
            "strides": (None, *get_args(Strides)),
            "masked": get_args(Masked),
            "indivisible": (None, "raises", "any"),
            "shape_mismatch": get_args(ShapeMismatch),
            "float64_in": (None, "float64", "float32"),
            "accumulation": get_args(Accumulation),
            "surroundings": (None, *get_args(Surroundings)),
            "heads": (None, *get_args(Heads)),
            "causal": (None, *get_args(Causal)),
            "softcap_order": get_args(SoftcapOrder),
            "out": (None, *get_args(Out)),
            "projections": (None, *get_args(Maps)),
            "widths": (None, *get_args(Widths)),
            "lse": (None, *get_args(get_args(Lse)[0])),
        }
        if isinstance(self.causal, bool):
            raise ValueError(
                f"Contract(causal={self.causal!r}); must be 'top-left' (query i sees the keys 0 to i), 'bottom-right' (the "
                "last query sees every key), or 'no'. With as many queries as keys, the first two are the same"
            )
        for field in fields(self):
            given = getattr(self, field.name)
            if field.name in allowed and given not in allowed[field.name]:
                listed = ", ".join(repr(a) for a in allowed[field.name])
                raise ValueError(f"Contract({field.name}={given!r}); must be one of {listed}")
        if self.mask is not None and self.mask_shape is not None:
            fitting = [s for s in get_args(MaskShape) if (s in LENGTH_SHAPES) == (self.mask == "lengths")]
            if self.mask_shape not in fitting:
                listed = ", ".join(map(repr, fitting))
                raise ValueError(f"Contract(mask={self.mask!r}, mask_shape={self.mask_shape!r}); must be one of {listed}")
        self._check_formula()
        if self.fully_masked_row == "nan" and not self.reason:
            raise ValueError("Contract(fully_masked_row='nan') needs a reason: say why NaN is accepted, with a link")

    def _check_formula(self) -> None:
        for name, read in (("rotary", rotary_of), ("qk_norm", qk_norm_of), ("bias", bias_of), ("fill", fill_of)):
            if name == "fill" and self.fill == "none":  # stays declared: a finite number is then a violation
                continue
            try:
                object.__setattr__(self, name, read(getattr(self, name)))
            except ValueError as error:
                raise ValueError(f"Contract({name}={getattr(self, name)!r}); {error}") from None
        for name in ("scale", "softcap"):
            value = getattr(self, name)
            number = isinstance(value, (int, float)) and not isinstance(value, bool)
            if value is None or (name == "scale" and value == "1/d_k") or (number and 0.0 < value < float("inf")):
                continue
            also = ", '1/d_k'" if name == "scale" else ""
            raise ValueError(f"Contract({name}={value!r}); must be a number above 0{also} or None")
        kv_heads = self.kv_heads
        if not (kv_heads in (None, "grouped") or (type(kv_heads) is int and kv_heads >= 1)):
            raise ValueError(f"Contract(kv_heads={kv_heads!r}); must be 'grouped', a whole number of at least 1, or None")
        sinks = self.sinks
        number = isinstance(sinks, (int, float)) and not isinstance(sinks, bool) and abs(sinks) < float("inf")
        if not (sinks is None or sinks == "learned" or number):
            raise ValueError(f"Contract(sinks={sinks!r}); must be 'learned', a number or None")
        if self.window is None:
            return
        sides = tuple(self.window) if isinstance(self.window, (list, tuple)) else ()
        if len(sides) != 2 or not all(type(side) is int and side >= -1 for side in sides) or sides == (-1, -1):
            raise ValueError(
                f"Contract(window={self.window!r}); must be [left, right]: how many keys before and after the own place are "
                "seen, -1 for all on one side"
            )
        object.__setattr__(self, "window", sides)  # TOML has lists

    @functools.cached_property  # each case of each property reads it
    def formula(self) -> Formula:
        """What is computed."""
        from mhsa.oracle.formula.formula import Formula  # with NumPy, which whoever only reads a contract does not need

        names = (f.name for f in fields(Formula) if f.name not in ("causal", "rotary", "qk_norm", "bias", "kv_heads", "fill"))
        same = {name: getattr(self, name) for name in names}
        rotary, qk_norm = rotary_of(self.rotary), qk_norm_of(self.qk_norm)
        kv_heads: KvHeads = None if self.kv_heads is None else "grouped"  # each module shows how many it has
        causal, bias, fill = self.causal or "no", bias_of(self.bias), fill_of(self.fill)
        return Formula(causal=causal, rotary=rotary, qk_norm=qk_norm, bias=bias, kv_heads=kv_heads, fill=fill, **same)


PLAIN = Contract()
