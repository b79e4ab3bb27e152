"""Benchmarks for pytest-benchmark.

A test file imports both names, and defines a test with the arguments ``benchmark`` and ``attention_call``.
"""

from __future__ import annotations

from mhsa.bench.tools.pytest_benchmark import attention_call, pytest_generate_tests

__all__ = ["attention_call", "pytest_generate_tests"]
