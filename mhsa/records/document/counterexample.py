"""The counterexample of a failed property by its parts: what was observed, on which case, and the numbers of the call."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from mhsa.records.document.kinds import mapping, text, whole

INPUTS = ("query", "key", "value", "mask")
PARAMETERS = tuple(f"{role}.{kind}" for role in ("query", "key", "value", "out") for kind in ("weight", "bias"))


@dataclass(frozen=True)
class Part:
    """The output or the weights of a call: nested lists, each None where it is not known."""

    required: Any
    observed: Any = None
    bound: Any = None

    @classmethod
    def of(cls, value: Any) -> Part | None:
        """Read a part; None where nothing says what it must be."""
        part = mapping(value)
        return cls(part["required"], part.get("observed"), part.get("bound")) if part.get("required") is not None else None


@dataclass(frozen=True)
class Counterexample:
    """What a failed property holds against the subject; a part that is not known is empty or None.

    Attributes:
        message: what was observed and what must be, in one sentence.
        what: the quantity that was compared, "output" or "gradient of query" say.
        where: the index of the number that the message names.
        observed: that number, or what the subject raised.
        observed_all, required_all: all numbers of the quantity, as nested lists, if they are few.
        case: the smallest case, field by field; empty where the property has none of the usual kind.
        words: the smallest case in words.
        file: the saved case, for ``mhsa replay``.
        inputs: query, key, value [B, T, d_model] and mask [B, Tq, Tk] as nested lists, those that are known.
        parameters: ``query.weight`` and the like, those that are known.
        output: of the last call, [B, Tq, d_model].
        weights: of the last call, [B, H, Tq, Tk].
    """

    message: str = ""
    what: str = ""
    where: tuple[int, ...] = ()
    observed: Any = None
    observed_all: Any = None
    required_all: Any = None
    case: dict[str, Any] = field(default_factory=dict)
    words: str = ""
    file: str = ""
    inputs: dict[str, Any] = field(default_factory=dict)
    parameters: dict[str, Any] = field(default_factory=dict)
    output: Part | None = None
    weights: Part | None = None

    @classmethod
    def of(cls, facts: Mapping[str, Any] | None) -> Counterexample:
        """Read the counterexample of a property result; of None every part is empty."""
        known = {name: value for name, value in mapping(facts).items() if value is not None}
        case, answer = mapping(known.get("case")), mapping(known.get("answer"))
        return cls(
            message=text(known.get("message")),
            what=text(known.get("what")),
            where=tuple(whole(n) for n in known.get("where") or ()),
            observed=known.get("observed"),
            observed_all=known.get("observed_all"),
            required_all=known.get("required_all"),
            case=case,
            words=text(case.get("words")),
            file=text(known.get("file")),
            inputs={name: known[name] for name in INPUTS if name in known},
            parameters={name: known[name] for name in PARAMETERS if name in known},
            output=Part.of(answer.get("output")),
            weights=Part.of(answer.get("weights")),
        )
