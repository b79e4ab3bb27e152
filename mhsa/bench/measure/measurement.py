"""What is known of one implementation at one shape, dtype and device."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from mhsa.records.request import Request
from mhsa.records.shape import Shape

Pass = Literal["forward", "training"]
Outcome = Literal["measured", "wrong", "suspect", "n/a"]
REFUSED = ("wrong", "suspect")  # outcomes for which the exit code is 1
PASSES: tuple[Pass, ...] = ("forward", "training")
BASELINE = "baseline"  # four plain projections and torch's scaled_dot_product_attention: what every time is compared with
# Name in every output: (what is loaded, whether weights are asked for). "torch" without weights is what people use who want
# speed, so it is the rival.
KNOWN = {
    BASELINE: ("mhsa.bench.measure.baseline:BaselineAdapter", False),
    "reference": ("mhsa:MultiHeadAttention", False),
    "fused": ("mhsa:fused_attention", False),
    "torch": ("torch.nn:MultiheadAttention", False),
    "torch+weights": ("torch.nn:MultiheadAttention", True),
}


@dataclass(frozen=True)
class Contender:
    """One implementation.

    Attributes:
        name: in every output.
        request: how it is loaded, and by which contract it is judged.
        need_weights: whether the weights are asked for, where one can ask.
    """

    name: str
    request: Request
    need_weights: bool = False

    @classmethod
    def known(cls, name: str) -> Contender:
        """Return one of :data:`KNOWN`."""
        spec, need_weights = KNOWN[name]
        return cls(name, Request(name, spec), need_weights)

    @classmethod
    def of(cls, request: Request) -> Contender:
        """Return a subject; one of :data:`KNOWN` if it is one and nothing else is declared for it."""
        plain = not (request.arguments or request.contract or request.submodule or request.dtypes)
        for name, (spec, need_weights) in KNOWN.items():
            if plain and spec == request.spec and not need_weights:
                return cls.known(name)
        return cls(request.spec if request.label in KNOWN else request.label, request)


@dataclass(frozen=True)
class Counters:
    """What is counted, without the noise of a clock; larger is worse. None where it cannot be known.

    Attributes:
        operators: calls that torch's dispatcher was given.
        flops: floating point operations of matrix products and attention, as torch's own counter has them.
        allocated: bytes that the allocator gave out, freed ones too.
        peak: most bytes beyond what was there before the call, at any one time.
        kernels: launched on the GPU.
        instructions: executed, under callgrind; only on request.
    """

    operators: int | None = None
    flops: int | None = None
    allocated: int | None = None
    peak: int | None = None
    kernels: int | None = None
    instructions: int | None = None


WORDS = {"wrong": "failed: wrong result", "suspect": "suspect: not timed as it seems", "n/a": "n/a"}


@dataclass(frozen=True)
class Measurement:
    """One implementation, one pass, one shape, one dtype, one device.

    Attributes:
        outcome: "measured"; "wrong" if the result is not what attention gives; "suspect" if it does something that makes its
            time worthless, or is faster than the machine can be; neither has a figure. "n/a" if it could not be measured.
        reason: why there is no figure.
        seconds: of one call, the median of blocks.
        ratio: of its time to the baseline's, the median over blocks that stand between two of the baseline's.
        low, high: 95 % interval of that median.
        blocks: how many there were.
        rows: how many of the queries were compared with the oracle beforehand, of ``shape.length``.
    """

    implementation: str
    passes: Pass
    shape: Shape
    dtype: str
    device: str
    outcome: Outcome = "n/a"
    reason: str = ""
    seconds: float | None = None
    ratio: float | None = None
    low: float | None = None
    high: float | None = None
    blocks: int = 0
    rows: int = 0
    counters: Counters = field(default_factory=Counters)

    def as_dict(self) -> dict[str, Any]:
        """Return the fields, ready for JSON."""
        return asdict(self)

    @classmethod
    def of_dict(cls, data: Mapping[str, Any]) -> Measurement:
        """Return what :meth:`as_dict` was made from."""
        return cls(**{**data, "shape": Shape(**data["shape"]), "counters": Counters(**data["counters"])})

    @property
    def words(self) -> str:
        """Why there is no figure; empty where there is one."""
        if self.outcome == "measured":
            return ""
        return f"{WORDS[self.outcome]}: {self.reason}"
