"""The reference with twelve crossed formulas, each a factory that mhsa verify builds; its objects declare what they compute."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mhsa import MultiHeadAttention, fused_attention

# In the order of the names below; "grouped" has fewer heads of keys and values.
FIELDS: dict[str, dict[str, Any]] = {
    "causal_window_grouped": {"causal": "bottom-right", "window": (5, -1), "grouped": True},
    "rotary_grouped_causal": {"causal": True, "rotary": "half", "grouped": True},
    "softcap_sinks_causal": {"causal": True, "softcap": 3.0, "sinks": "learned"},
    "alibi_causal": {"causal": True, "score_bias": "alibi"},
    "scaled_window": {"scale": "1/d_k", "window": (3, 2)},
    "capped_bias": {"score_bias": "given", "softcap": 2.0, "softcap_order": "after-bias"},
    "bias_window_sinks": {"score_bias": "given", "window": (3, 2), "sinks": 0.0},
    "rotary_alibi_at_the_end": {
        "causal": "bottom-right", "rotary": {"layout": "interleaved", "fraction": 0.5, "offset": 3},
        "score_bias": "alibi-geometric",
    },
    "rotary_window_sinks_grouped": {
        "causal": True, "window": (7, -1), "rotary": {"base": 150000.0}, "sinks": "learned", "grouped": True,
    },
    "rotary_window_softcap_grouped": {
        "causal": True, "window": (15, -1), "rotary": "half", "softcap": 50.0, "scale": 0.25, "grouped": True,
    },
    "bias_without_scale": {"score_bias": "given", "scale": 1.0},
    "everything": {
        "causal": True, "window": (6, 0), "rotary": "interleaved", "softcap": 4.0, "softcap_order": "after-bias",
        "score_bias": "alibi", "sinks": "learned", "scale": 0.3, "grouped": True,
    },
}  # fmt: skip


def _factory(name: str, **more: Any) -> Callable[..., MultiHeadAttention]:
    given = {n: value for n, value in FIELDS[name].items() if n != "grouped"} | more

    def make(head: int, d_model: int, dropout: float = 0.1) -> MultiHeadAttention:
        return MultiHeadAttention(head, d_model, dropout, **given)

    def make_grouped(head: int, d_model: int, dropout: float = 0.1, kv_heads: int | None = None) -> MultiHeadAttention:
        fewer = next((n for n in range(head - 1, 0, -1) if head % n == 0), 1)
        return MultiHeadAttention(head, d_model, dropout, kv_heads=kv_heads or fewer, **given)

    return make_grouped if "grouped" in FIELDS[name] else make


def _plain_of_heads(head: int, d_model: int, dropout: float = 0.1) -> MultiHeadAttention:
    """Return the reference without a formula, from a factory as all others: what times are compared with."""
    return MultiHeadAttention(head, d_model, dropout)


plain = _plain_of_heads
for _name in FIELDS:
    globals()[_name] = _factory(_name)
    globals()[f"fused_{_name}"] = _factory(_name, attention=fused_attention)
