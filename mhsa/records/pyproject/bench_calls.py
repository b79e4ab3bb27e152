"""``[tool.mhsa.bench]``: the calls that ``mhsa bench --record`` has found in a user's run, which ``mhsa bench`` times."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from mhsa.records.defaults import DTYPES
from mhsa.records.shape import shape_of

PASSES = ("forward", "training")


@dataclass(frozen=True)
class BenchCall:
    """One kind of call.

    Attributes:
        shape: as ``--shape`` takes it.
        dtype: of the inputs.
        passes: "forward" or "training"; in the table it is called ``pass``.
        mask: its dtype and dimensions; "" without one.
        causal: whether a causal mask was asked for by name.
        count: how often it was called.
    """

    shape: str
    dtype: str = "float32"
    passes: str = "forward"
    mask: str = ""
    causal: bool = False
    count: int = 1

    @classmethod
    def of_table(cls, table: dict[str, Any]) -> BenchCall:
        """Return what an entry says that :func:`wrong_in` has nothing against."""
        return cls(**{"passes" if name == "pass" else name: value for name, value in table.items()})

    def as_table(self) -> dict[str, Any]:
        """Return the entry, without what is not there."""
        table = {"shape": self.shape, "dtype": self.dtype, "pass": self.passes}
        return table | {name: value for name in ("mask", "causal") if (value := getattr(self, name))} | {"count": self.count}


def wrong_in(table: dict[str, Any]) -> tuple[str, str]:
    """Return a key of an entry and what is wrong with it; empty if nothing is."""
    known = {"shape", "dtype", "pass", "mask", "causal", "count"}
    for key, value in table.items():
        if key not in known:
            return key, f"unknown key {key!r}; known are {', '.join(sorted(known))}"
        right = {
            "shape": isinstance(value, str), "dtype": value in DTYPES, "pass": value in PASSES, "mask": isinstance(value, str),
            "causal": isinstance(value, bool), "count": type(value) is int and value > 0,
        }[key]  # fmt: skip
        if not right:
            words = {
                "shape": "a text", "dtype": f"one of {', '.join(DTYPES)}", "pass": " or ".join(PASSES), "mask": "a text",
                "causal": "true or false", "count": "a whole number above 0",
            }  # fmt: skip
            return key, f"{key} = {value!r}; must be {words[key]}"
    if "shape" not in table:
        return "", "a call needs a shape"
    try:
        shape_of(table["shape"])
    except ValueError as error:
        return "shape", str(error)
    return "", ""
