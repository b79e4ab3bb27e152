"""Know that an attention implementation is right: property-based verification and benchmarks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # what type checkers see; a test compares it with the table
    from mhsa.judge.decorators import cases as cases
    from mhsa.judge.decorators import verifies as verifies
    from mhsa.judge.example import Example as Example
    from mhsa.judge.verification import verify as verify
    from mhsa.records.contract import Contract as Contract
    from mhsa.reference.exact_core import self_attention as self_attention
    from mhsa.reference.fused_core import fused_attention as fused_attention
    from mhsa.reference.multi_head import IndivisibleError as IndivisibleError
    from mhsa.reference.multi_head import MultiHeadAttention as MultiHeadAttention
    from mhsa.subject.adapters.adapter import Adapter as Adapter
    from mhsa.subject.projection_views import Projections as Projections

__version__ = "0.1.0"

_MODULES = {
    "Adapter": "subject.adapters.adapter",
    "Contract": "records.contract",
    "Example": "judge.example",
    "IndivisibleError": "reference.multi_head",
    "MultiHeadAttention": "reference.multi_head",
    "Projections": "subject.projection_views",
    "cases": "judge.decorators",
    "fused_attention": "reference.fused_core",
    "self_attention": "reference.exact_core",
    "verifies": "judge.decorators",
    "verify": "judge.verification",
}
__all__ = list(_MODULES)


def __getattr__(name: str) -> Any:
    # Imported on first use: `import mhsa` must not pull in torch, which takes seconds.
    if name not in _MODULES:
        raise AttributeError(f"module 'mhsa' has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(f"mhsa.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*_MODULES, "__version__"])
