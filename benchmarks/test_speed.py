"""Speed at the desk: pytest benchmarks --benchmark-only --attention SUBJECT (and --attention-shape, -dtype, -device)."""

from mhsa.bench.desk import attention_call, pytest_generate_tests  # noqa: F401


def test_speed(attention_call, benchmark):  # noqa: F811
    benchmark(attention_call)
