"""What is declared to the reference, as a formula and as the contract by which the object itself is judged."""

from __future__ import annotations

from functools import cache
from typing import Any

from mhsa.records.contract import Contract

# What the reference promises whatever it computes: its masks, its layout, and that it refuses what does not fit.
_CONVENTIONS: dict[str, Any] = {"mask": "allowed", "layout": "BTD", "shape_mismatch": "raises"}
_BIASES = (None, "given", "alibi", "alibi-geometric")  # a learned table is a feature of contracts that the reference lacks


def contract_of(who: str, *, causal: Any = False, **fields: Any) -> Contract:
    """Return the contract of declared fields; its ``formula`` is what is computed.

    Args:
        who: is told in messages, ``MultiHeadAttention`` say.
        causal: True is "top-left", False is "no".
        fields: others of :class:`mhsa.Contract`, by name.

    Raises:
        ValueError: a field has a value that it cannot have, with those that it can.
    """
    if fields.get("bias") not in _BIASES:
        raise ValueError(f"{who}(bias={fields['bias']!r}); must be one of {', '.join(map(repr, _BIASES))}")
    causal = {True: "top-left", False: "no"}.get(causal, causal) if isinstance(causal, bool) else causal
    nothing = all(value == ("before-bias" if name == "softcap_order" else None) for name, value in fields.items())
    if nothing and causal in ("no", "top-left"):
        return _plain(causal)
    try:
        return Contract(causal=causal, **_CONVENTIONS, **fields)
    except ValueError as error:
        raise ValueError(str(error).replace("Contract(", f"{who}(")) from None


@cache  # modules are built by the thousand, nearly all of them with nothing declared
def _plain(causal: Any) -> Contract:
    return Contract(causal=causal, **_CONVENTIONS)


def require_groups(head: int, kv_heads: Any) -> int:
    """Return how many heads of keys and values there are: ``kv_heads``, or as many as of queries where it is None.

    Raises:
        ValueError: the heads of queries cannot share them evenly.
    """
    if kv_heads is None:
        return head
    if not isinstance(kv_heads, int) or isinstance(kv_heads, bool) or kv_heads < 1 or head % kv_heads:
        raise ValueError(f"kv_heads={kv_heads!r}; must divide head={head}, so that each head of keys has as many of queries")
    return kv_heads
