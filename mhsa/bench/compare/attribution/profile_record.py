"""What is known of one call at one commit: its lines as a tree of who calls whom, with times and operators. Plain data."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from mhsa.bench.compare.attribution.statements import Statement


@dataclass(frozen=True)
class OperatorUse:
    """What a line calls one operator for.

    Attributes:
        name: as torch writes it: "aten::clone".
        backward: whether the backward pass of the line calls it.
        calls: in one call of the subject.
        seconds: inside of the operator, all calls together.
        bytes: of memory that the results take.
        inputs: how often it was given which tensors: "float32[2, 16, 64]".
        made_by: the numbers of the lines, in the profile, that made these tensors last.
    """

    name: str
    backward: bool = False
    calls: int = 0
    seconds: float = 0.0
    bytes: int = 0
    inputs: Mapping[str, int] = field(default_factory=dict)
    made_by: tuple[int, ...] = ()


@dataclass(frozen=True)
class ProfiledLine:
    """A statement, in one place of the tree.

    Attributes:
        parent: the number of the line that calls its function, or -1.
        statement: None for what is outside of the subject's files.
        seconds: of this statement alone: its operators, with those of its backward pass, and Python between them, but not the
            lines of the subject that it calls.
        noise: the standard error of that, which is a median over runs.
        hits: how often it was executed.
        operators: that it calls.
    """

    parent: int
    statement: Statement | None
    seconds: float = 0.0
    noise: float = 0.0
    hits: int = 0
    operators: tuple[OperatorUse, ...] = ()

    @property
    def outside(self) -> float:
        """Seconds outside of operators: Python."""
        return max(0.0, self.seconds - sum(o.seconds for o in self.operators))


@dataclass(frozen=True)
class CallProfile:
    """The profile of one side.

    Attributes:
        seconds: of a call that nothing watches.
        lines: in the order in which they were executed first; the first one stands for all that is outside of the subject.
    """

    seconds: float
    lines: tuple[ProfiledLine, ...]

    def above(self, number: int) -> Iterator[int]:
        """Yield the numbers of the lines through which a line is called, the nearest first, without the outermost."""
        number = self.lines[number].parent
        while number > 0:
            yield number
            number = self.lines[number].parent

    def as_dict(self) -> dict[str, Any]:
        """Return everything, ready for JSON."""
        return asdict(self)

    @classmethod
    def of_dict(cls, data: Mapping[str, Any]) -> CallProfile:
        """Return what :meth:`as_dict` was made from."""
        return cls(data["seconds"], tuple(map(_line_of, data["lines"])))


def _line_of(data: Mapping[str, Any]) -> ProfiledLine:
    statement = data["statement"]
    return ProfiledLine(
        data["parent"],
        Statement(**{**statement, "around": tuple(statement["around"])}) if statement else None,
        data["seconds"], data["noise"], data["hits"],
        tuple(OperatorUse(**{**o, "made_by": tuple(o["made_by"])}) for o in data["operators"]),
    )  # fmt: skip
