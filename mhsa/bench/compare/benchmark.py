"""What ``mhsa compare`` measures, and what one process finds."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

from mhsa.bench.measure.measurement import Pass
from mhsa.records.request import Request
from mhsa.records.shape import Shape

SIDES = ("base", "head")


@dataclass(frozen=True)
class Benchmark:
    """What is compared: a subject (the same name on both sides), a pass, and conditions."""

    request: Request
    passes: Pass
    shape: Shape
    dtype: str

    @property
    def id(self) -> str:
        """One line that is unique in a run."""
        return f"{self.request.label} {self.passes} {self.shape.name} {self.dtype}"

    def as_dict(self) -> dict[str, Any]:
        """Return the fields, ready for JSON."""
        return asdict(self)

    @classmethod
    def of_dict(cls, data: dict[str, Any]) -> Benchmark:
        """Return what :meth:`as_dict` was made from."""
        return cls(**{**data, "request": Request.of_dict(data["request"]), "shape": Shape(**data["shape"])})


@dataclass(frozen=True)
class Pair:
    """What one process found about one benchmark.

    Attributes:
        outcome: "timed", or what stands in the way: "wrong" or "suspect" (why, in ``reasons``), "n/a"; "apart" if the two sides
            cannot be in one process.
        log_ratio: median over pairs of neighbouring blocks of log(head / base).
        seconds: of one call, (base, head).
        reasons: of each side, empty where there is nothing to say.
        counters: of each side, where they were counted.
        used: the repository's outermost folders that modules were imported from, "" for its own.
    """

    outcome: str
    log_ratio: float = 0.0
    seconds: tuple[float, float] = (0.0, 0.0)
    pairs: int = 0
    reasons: dict[str, str] = field(default_factory=dict)
    counters: dict[str, dict[str, int | None]] = field(default_factory=dict)
    used: tuple[str, ...] = ()


def benchmarks_of(
    requests: tuple[Request, ...], passes: tuple[Pass, ...], shapes: tuple[Shape, ...], dtypes: tuple[str, ...]
) -> Iterator[Benchmark]:
    """Yield everything that is compared, in order."""
    for request in requests:
        for dtype in dtypes:
            for shape in shapes:
                for p in passes:
                    yield Benchmark(request, p, shape, dtype)
