"""What an implementation promises where the field has no single answer."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import InitVar, dataclass, fields
from typing import TYPE_CHECKING, Any, Literal

from mhsa.oracle.formula.bias_fields import Bias, bias_of
from mhsa.oracle.formula.fields import (
    DeclaredCausal,
    Fill,
    KvHeads,
    Lse,
    QkNorm,
    Rotary,
    Scale,
    Sinks,
    SoftcapOrder,
    Window,
    causal_of,
    fill_of,
    qk_norm_of,
    rotary_of,
)
from mhsa.records.conventions import refusals
from mhsa.records.conventions.layer import as_text, formulas_of
from mhsa.records.conventions.values import (
    Accumulation,
    AfterInference,
    BiasSwitch,
    Counters,
    Dropout,
    Float64In,
    FullyMaskedRow,
    Heads,
    Indivisible,
    Layout,
    Lengths,
    Maps,
    Masked,
    MaskMeaning,
    MaskShape,
    Out,
    PaddedQueries,
    ShapeMismatch,
    SpareParameters,
    Strides,
    Surroundings,
    Weights,
    Widths,
)

if TYPE_CHECKING:
    from mhsa.oracle.formula.formula import Formula

# What fields and values were called before they had the field's words; a declaration that uses them keeps its meaning.
FORMER_NAMES = {"empty_row": "fully_masked_row", "misfits": "shape_mismatch"}
_FORMER_VALUES = {"indivisible": {"refused": "raises"}, "shape_mismatch": {"refused": "raises"}}


@dataclass(frozen=True)
class Contract:
    """The conventions by which a subject is judged; ``None`` means: find out by calling it, and print the result.

    Attributes:
        fully_masked_row: a query that may attend to no key has weights of zero (``"zeros"``: the output is W_O's bias), of
            1 / Tk (``"uniform"``), an output of zero (``"zero-output"``), some finite output (``"finite"``), or NaN
            (``"nan"``, which needs ``reason``; the other rows are judged all the same), or the call ``"raises"`` an error.
        mask: what True means: ``"allowed"`` to attend (the usual meaning), ``"blocked"``, or ``"additive"``: the mask
            is a floating tensor, 0 where attention is allowed and -inf where not; ``"lengths"``: no mask but the number of
            keys, the first of their sample, that may be attended to.
        mask_shape: of the mask that the implementation takes, ``"[B, Tq, Tk]"`` say; of lengths ``"[B]"`` or ``"[B, Tq]"``.
        padded_queries: in self-attention, what tokens that no query may attend to get as queries: the output is ``"computed"``
            as that of others (None is that, too), or ``"zero"``.
        layout: of what the implementation takes and returns. Modules: ``"BTD"`` (the usual one), ``"TBD"`` (time first),
            ``"BDT"`` (channels first), ``"BCHW"`` (tokens are pixels), ``"BD1T"`` (pixels of one row), ``"BHWC"`` (pixels,
            channels last), ``"BCDHW"``, ``"BDHWC"`` (voxels), ``"BNTD"``, ``"BTND"``, ``"TNBD"`` (two axes of samples, which
            masks need not have); with N for axes whose places are samples of their own: ``"BCHN"``, ``"BCDNN"`` (attends along
            the first axis alone), ``"BCNHN"``, ``"BCNNW"``, ``"BCNHW"`` (within each frame); of queries and of keys:
            ``"BCHW,BTD"`` (pixels attend to tokens), ``"BTD,BCHW"``; of what is taken and of what is returned:
            ``"BDT>BTD"``. Functions of heads: ``"BHTD"`` (the usual one), ``"BTHD"``, ``"(BH)TD"``,
            ``"BHDT"``, ``"BDHT"``.
        lengths: of queries and keys: ``"any"`` may meet (None is that, too), or they must be ``"equal"``: other numbers of
            queries are judged in several calls, each with as many queries as keys; where the formula counts places, not at all.
        strides: query, key and value may lie in memory in ``"any"`` way (None is that, too), or must be ``"contiguous"``.
        masked: keys and values that no query may attend to ``"may-be-read"`` (and multiplied by a weight of zero, so that
            NaN there is NaN in the output), or are ``"never-read"``: they may hold NaN and infinities.
        indivisible: ``"raises"``: a constructor must raise for d_model % head != 0; ``"any"``: it need not. None: one that does
            not is a question, if nothing else is wrong.
        dropout: ``"applied"``: a rate that can be set is that of what is dropped in train mode; ``"never"``: nothing is.
            None: a rate that is never used is a question, if nothing else is wrong.
        spare_parameters: ``"none"``: all trained parameters are those of the maps; ``"any"``: there may be some that nothing
            uses. None: such are a question, if nothing else is wrong.
        counters: whole numbers in buffers that calls in eval mode change, and no result depends on: ``"none"`` or ``"any"``.
            None: such are a question, if nothing else is wrong.
        after_inference: after a first call under torch.inference_mode a module ``"trains"``, or its backward passes may
            ``"raise"``. None: one that raises is a question, if nothing else is wrong.
        bias_switch: a switch of the constructor that is called ``bias``, and off, takes the biases of ``"all"`` maps, or of
            ``"some"``. None: one that leaves that of the out projection, or all others, is a question, if nothing else is
            wrong.
        shape_mismatch: a mask, key or value whose sizes do not fit, or a mask in a form that is not taken, ``"raises"``, or is
            ``"unchecked"``, as in code that slices and loops and looks at what it needs.
        float64_in: ``"float32"`` if float64 data is computed in float32 inside, and is judged with that roundoff.
        weights: what is returned next to the output are the weights, after the ``"softmax"``, or the ``"scores"`` before it, of
            which the softmax is judged then. None: scores that are exactly that are a question.
        surroundings: a norm, a residual or a feed-forward around the attention is ``"left-out"``: what its out projection
            gives is judged; ``"none"``: the module's output must be that of attention.
        layer: what the whole layer computes, ``"x + attention(norm(x))"`` say: a sum of its inputs x, y, z and of norm(...),
            map(...), attention(...) and feed_forward(...); sums may have names, ``"a = x + attention(norm(x)); a + ..."``, and
            formulas of several layers of a file stand next to each other, with | between them. None: what is found is
            printed, an unusual form is a question, and a term that is added twice is a violation. What is in
            the feed-forward and the norms is not judged.
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
            at the last key (``"bottom-right"``, as with a cache). With ``-without-mask`` behind it, a mask that is given stands
            in for that, and has to hide later keys itself.
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
            parameter [buckets, H] of which the bucket of the distance is added, or a table of ``rule`` ("t5", "swin",
            "clipped"), ``direction`` ("both", "past"), ``max_distance`` and ``order`` ("key - query", "query - key"); None is
            none.
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
        empty_row, misfits: the former names of ``fully_masked_row`` and ``shape_mismatch``.
    """

    fully_masked_row: FullyMaskedRow | None = None
    mask: MaskMeaning | None = None
    mask_shape: MaskShape | None = None
    layout: Layout | None = None
    lengths: Lengths | None = None
    strides: Strides | None = None
    masked: Masked = "may-be-read"
    indivisible: Indivisible | None = None
    dropout: Dropout | None = None
    spare_parameters: SpareParameters | None = None
    counters: Counters | None = None
    after_inference: AfterInference | None = None
    padded_queries: PaddedQueries | None = None
    bias_switch: BiasSwitch | None = None
    shape_mismatch: ShapeMismatch = "unchecked"
    float64_in: Float64In | None = None
    weights: Weights | None = None
    accumulation: Accumulation = "float32"
    surroundings: Surroundings | None = None
    layer: str | None = None
    attention: str | None = None
    heads: Heads | None = None
    reason: str = ""
    # The formula: what is computed in addition to plain attention.
    causal: DeclaredCausal | None = None
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
        refusals.refuse_unknown_words({field.name: getattr(self, field.name) for field in fields(self)})
        refusals.require_fitting_shape(self.mask, self.mask_shape)
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
        refusals.require_numbers(self.scale, self.softcap)
        refusals.require_heads(self.kv_heads, self.sinks)
        if self.layer is not None:
            object.__setattr__(self, "layer", as_text(formulas_of(self.layer)))  # terms in order
            if self.surroundings == "none":
                raise ValueError(
                    f"Contract(surroundings='none', layer={self.layer!r}); must be None or 'left-out' with a layer"
                )
        object.__setattr__(self, "window", refusals.window_of(self.window))  # TOML has lists

    @functools.cached_property  # each case of each property reads it
    def formula(self) -> Formula:
        """What is computed."""
        from mhsa.oracle.formula.formula import Formula  # with NumPy, which whoever only reads a contract does not need

        names = (f.name for f in fields(Formula) if f.name not in ("causal", "rotary", "qk_norm", "bias", "kv_heads", "fill"))
        same = {name: getattr(self, name) for name in names}
        rotary, qk_norm = rotary_of(self.rotary), qk_norm_of(self.qk_norm)
        kv_heads: KvHeads = None if self.kv_heads is None else "grouped"  # each module shows how many it has
        causal, bias, fill = causal_of(self.causal), bias_of(self.bias), fill_of(self.fill)
        return Formula(causal=causal, rotary=rotary, qk_norm=qk_norm, bias=bias, kv_heads=kv_heads, fill=fill, **same)


PLAIN = Contract()
