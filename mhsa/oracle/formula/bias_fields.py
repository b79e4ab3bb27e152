"""What a bias of the scores may be; without NumPy, so that contracts are read without it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from mhsa.oracle.formula.fields import declared_as


@dataclass(frozen=True)
class BiasTable:
    """A learned table [buckets, H], a parameter, of which the bucket of the distance is added to the scores.

    Attributes:
        rule: of the buckets: "t5", one for each near distance, and by the logarithm for further ones; "swin", one for each
            offset, down and across, of two places in a window of h x w tokens: [(2 h - 1) (2 w - 1), H]; "clipped", one for
            each distance up to the largest, m, which all further ones share: [2 m + 1, H], or [m + 1, H] of the past.
        direction: "both", each with half of the buckets; or the "past", later keys being at distance 0. None: the past where
            attention is causal.
        max_distance: from which on all distances have the last bucket.
        order: of the rows of a clipped table: by the place of the "key - query", or of the "query - key". None: the former in
            both directions, the latter of the past, so that row 0 is that of the own place.
    """

    rule: Literal["t5", "swin", "clipped"] = "t5"
    direction: Literal["both", "past"] | None = None
    max_distance: int = 128
    order: Literal["key - query", "query - key"] | None = None

    def __post_init__(self) -> None:
        """Check each value.

        Raises:
            ValueError: with what is allowed.
        """
        if self.rule not in ("t5", "swin", "clipped"):
            raise ValueError(f"rule = {self.rule!r}; must be one of 't5', 'swin', 'clipped'")
        if self.rule == "clipped" and self.max_distance != 128:
            raise ValueError('max_distance is of the rule "t5", a clipped table has as many rows as distances; leave it out')
        if self.rule == "swin" and (self.direction, self.max_distance) != (None, 128):
            raise ValueError('direction and max_distance are of the rule "t5"; leave them out')
        if self.order is not None and self.rule != "clipped":
            raise ValueError('order is of the rule "clipped"; leave it out')
        if self.order not in (None, "key - query", "query - key"):
            raise ValueError(f"order = {self.order!r}; must be one of 'key - query', 'query - key'")
        if self.direction not in (None, "both", "past"):
            raise ValueError(f"direction = {self.direction!r}; must be one of 'both', 'past'")
        if type(self.max_distance) is not int or self.max_distance < 2:
            raise ValueError(f"max_distance = {self.max_distance!r}; must be a whole number, 2 or more")


Bias = Literal["given", "alibi", "alibi-geometric"] | BiasTable | None


def bias_of(value: Any) -> Bias:
    """Return what was declared: a word, or a table.

    Raises:
        ValueError: it is neither, with what is allowed.
    """
    if value is None or value in ("given", "alibi", "alibi-geometric"):
        known: Bias = value
        return known
    if value == "table":
        return BiasTable()
    if not isinstance(value, (Mapping, BiasTable)):
        raise ValueError(
            "must be one of None, 'given', 'alibi', 'alibi-geometric', 'table', or a table of rule, direction, max_distance, "
            "order"
        )
    return declared_as(BiasTable, "rule", value)
