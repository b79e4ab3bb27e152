"""Benchmarks for asv: a class that inherits from :class:`Suite` measures attention over commits.

``mhsa init --bench`` writes such a file; docs/benchmarks.md says how to read the figures.
"""

from __future__ import annotations

from mhsa.bench.tools.asv_suite import Suite, configured

__all__ = ["Suite", "configured"]
