"""What an implementation computes, as its contract declares it; the oracle evaluates exactly that."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mhsa.oracle.formula import alibi, bias_table, fill, given_bias, groups, lse, qk_norm, rotary, scale, sinks, softcap, window
from mhsa.oracle.formula import causal as causality
from mhsa.oracle.formula.bias_fields import Bias, BiasTable
from mhsa.oracle.formula.fields import (
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
)


@dataclass(frozen=True)
class Formula:
    """Projections, norm, rotation, scores times scale, cap, bias, mask (given AND causal AND window), softmax, values, merge.

    Attributes:
        causal: whether a query sees later keys, and how queries and keys are aligned.
        scale: the factor of the scores; None is 1 / sqrt(d_k).
        window: keys before and after the own place that are seen, -1 for all; None is no window.
        softcap: c of c * tanh(scores / c); None is no cap.
        kv_heads: "grouped" where there may be fewer heads of keys and values; None is as many as there are heads.
        rotary: how queries and keys are rotated by their places; None is not at all.
        softcap_order: whether the cap comes "before-bias", so that the bias is added to capped scores, or "after-bias".
        bias: added to the scores: "given" by the caller, "alibi" or "alibi-geometric", or a learned table; None is none.
        sinks: one more logit in the softmax, without a value: "learned" ones of each head, or a number; None is none.
        qk_norm: how queries and keys are normalised; None is not at all.
        lse: the logarithm of each row's sum of exponentials is returned: "natural", or to "base-2"; None is not at all.
        fill: the finite number that hides masked keys; None is -inf.
    """

    causal: Causal = "no"
    scale: Scale = None
    window: Window | None = None
    softcap: float | None = None
    kv_heads: KvHeads = None
    rotary: Rotary | None = None
    softcap_order: SoftcapOrder = "before-bias"
    bias: Bias = None
    sinks: Sinks = None
    qk_norm: QkNorm | None = None
    lse: Lse = None
    fill: Fill | None = None

    @property
    def caps_bias(self) -> bool:
        """Whether a bias goes through the soft cap."""
        return self.softcap_order == "after-bias"

    @property
    def positional(self) -> bool:
        """Whether keys are hidden by their place."""
        return self.causal != "no" or self.window is not None

    @property
    def where(self) -> str:
        """What makes it matter where a key stands, so that keys may not be permuted, repeated or deleted; empty: nothing."""
        declared = {
            "causal": self.causal if self.causal != "no" else None,
            "window": self.window and list(self.window),
            "rotary": self.rotary and self.rotary.layout,
            "bias": ("table" if isinstance(self.bias, BiasTable) else self.bias) if self.distant else None,
        }
        return " and ".join(f"{name} = {value!r}" for name, value in declared.items() if value is not None)

    @property
    def between(self) -> str:
        """What lies between the maps and the scores, which are then no products of projected queries and keys; same words."""
        parts = (
            f"rotary = {self.rotary.layout!r}" if self.rotary else "",
            f"qk_norm = {self.qk_norm.kind!r}" if self.qk_norm else "",
        )
        return " and ".join(part for part in parts if part)

    @property
    def joint(self) -> str:
        """What makes heads see each other, in the same words."""
        return 'qk_norm with over = "all"' if self.qk_norm is not None and self.qk_norm.over == "all" else ""

    @property
    def distant(self) -> str:
        """What makes scores depend on the distance, in the same words."""
        if isinstance(self.bias, BiasTable):
            return "bias = 'table'"
        return f"bias = {self.bias!r}" if self.bias in ("alibi", "alibi-geometric") else ""

    @property
    def sinking(self) -> str:
        """What makes the weights of a row sum to less than one, in the same words."""
        return "" if self.sinks is None else f"sinks = {self.sinks!r}"

    @property
    def capped(self) -> str:
        """What makes a shift of all scores matter, in the same words."""
        parts = ("" if self.softcap is None else f"softcap = {self.softcap:g}", self.sinking)
        return " and ".join(part for part in parts if part)

    @property
    def shared(self) -> str:
        """What makes query heads share keys and values, in the same words."""
        return 'kv_heads = "grouped"' if self.kv_heads == "grouped" else ""

    def factor(self, d_k: int) -> float:
        """Return the factor of the scores."""
        return scale.factor(self.scale, d_k)

    def visible(self, queries: int, keys: int) -> NDArray[np.bool_] | None:
        """Return [Tq, Tk], True where a query may see a key if no mask is given; None where it sees all of them."""
        if not self.positional:
            return None
        seen = causality.visible(self.causal, queries, keys)
        return seen if self.window is None else seen & window.visible(self.window, self.causal, queries, keys)

    def allowed(self, mask: NDArray[np.bool_] | None, batch: int, queries: int, keys: int) -> NDArray[np.bool_] | None:
        """Return the effective mask [B, Tq, Tk]: given AND causal AND window. The given mask itself where there is neither."""
        seen = self.visible(queries, keys)
        if seen is None:
            return mask
        whole = np.broadcast_to(seen, (batch, queries, keys))
        return whole.copy() if mask is None else whole & mask

    @property
    def words(self) -> tuple[str, ...]:
        """What differs from plain attention, a phrase for each feature."""
        parts = (
            causality.words(self.causal) if self.causal != "no" else "",
            window.words(self.window) if self.window is not None else "",
            scale.words(self.scale) if self.scale is not None else "",
            softcap.words(self.softcap) if self.softcap is not None else "",
            groups.WORDS if self.kv_heads == "grouped" else "",
            qk_norm.words(self.qk_norm) if self.qk_norm is not None else "",
            rotary.words(self.rotary) if self.rotary is not None else "",
            given_bias.WORDS if self.bias == "given" else "",
            "the soft cap takes scores and bias together" if self.caps_bias and self.softcap is not None else "",
            bias_table.words(self.bias) if isinstance(self.bias, BiasTable) else "",
            alibi.words(self.bias) if self.bias in ("alibi", "alibi-geometric") else "",
            sinks.words(self.sinks) if self.sinks is not None else "",
            lse.words(self.lse) if self.lse is not None else "",
            fill.words(self.fill) if self.fill is not None else "",
        )
        return tuple(part for part in parts if part)


PLAIN = Formula()
