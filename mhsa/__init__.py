"""Know that an attention implementation is right: property-based verification and benchmarks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mhsa.adapter import Adapter as Adapter
    from mhsa.attention import IndivisibleError as IndivisibleError
    from mhsa.attention import MultiHeadAttention as MultiHeadAttention
    from mhsa.contract import Contract as Contract
    from mhsa.core import self_attention as self_attention
    from mhsa.example import Example as Example
    from mhsa.fused import fused_attention as fused_attention
    from mhsa.projections import Projections as Projections
    from mhsa.testing import cases as cases
    from mhsa.testing import verifies as verifies
    from mhsa.verification import verify as verify

__version__ = "0.1.0"

__all__ = [
    "Adapter",
    "Contract",
    "Example",
    "IndivisibleError",
    "MultiHeadAttention",
    "Projections",
    "cases",
    "fused_attention",
    "self_attention",
    "verifies",
    "verify",
]

_HOME = {
    "Adapter": "adapter",
    "Contract": "contract",
    "Example": "example",
    "IndivisibleError": "attention",
    "MultiHeadAttention": "attention",
    "Projections": "projections",
    "cases": "testing",
    "fused_attention": "fused",
    "self_attention": "core",
    "verifies": "testing",
    "verify": "verification",
}


def __getattr__(name: str) -> Any:
    # Imported on first use: `import mhsa` must not pull in torch, which takes seconds.
    if name not in _HOME:
        raise AttributeError(f"module 'mhsa' has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(f"mhsa.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
