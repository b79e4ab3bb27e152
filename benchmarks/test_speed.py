"""Speed, measured: pytest benchmarks --benchmark-only, with --attention SUBJECT for others than [tool.mhsa] configures.

--attention-shape, -dtype and -device say under which conditions. A wrong result is never timed.
"""

from mhsa.benchmark import attention_call, pytest_generate_tests  # noqa: F401


def test_speed(attention_call, benchmark):  # noqa: F811
    benchmark(attention_call)
