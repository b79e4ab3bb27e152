"""What the fields of a formula may be; without NumPy, so that contracts are read without it."""

from __future__ import annotations

from typing import Literal

Causal = Literal["no", "top-left", "bottom-right"]
Scale = float | Literal["1/d_k"] | None
Window = tuple[int, int]  # keys before and after the own place that are seen; -1: all of them
KvHeads = Literal["grouped"] | None
Bias = Literal["given", "alibi", "alibi-geometric"] | None
Sinks = float | Literal["learned"] | None
SoftcapOrder = Literal["before-bias", "after-bias"]
