"""What a property draws depends on its seed alone: not on what else is imported, nor on what was drawn before."""

import importlib.util
import sys
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

import hypothesis
import pytest
from hypothesis import strategies as st
from hypothesis.internal.conjecture import providers

from mhsa.introspect.resolve import understand
from mhsa.judge.drawing.draws import without_local_constants
from mhsa.judge.strategies import judging

NUMBERS = tuple(range(715_001, 716_001, 2))  # many, since they are drawn among the constants of all that is imported


@pytest.fixture
def another_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An imported file with constants of its own."""
    # Hypothesis looks for new files where the number of modules has changed, which another test may have put back.
    monkeypatch.setattr(providers, "_sys_modules_len", -1)
    path = tmp_path / "somebodys_numbers.py"
    path.write_text(f"NUMBERS = {NUMBERS}\n")
    spec = importlib.util.spec_from_file_location("somebodys_numbers", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    yield
    del sys.modules[spec.name]


def drawn() -> list[int]:
    seen = []

    @hypothesis.seed(0)
    @hypothesis.settings(max_examples=400, database=None, phases=[hypothesis.Phase.generate])
    @hypothesis.given(st.integers(0, 10**6))
    def look(n: int) -> None:
        seen.append(n)

    look()
    return seen


def test_constants_of_other_files_are_not_drawn(another_module: None) -> None:
    """The first line shows that they would be, so that this can fail."""
    assert set(drawn()) & set(NUMBERS), "Hypothesis draws them by itself"
    with without_local_constants():
        assert not set(drawn()) & set(NUMBERS)
    assert set(drawn()) & set(NUMBERS), "the user's own tests draw what they would have drawn"


def test_the_same_is_drawn_alone_and_in_company(request: pytest.FixtureRequest) -> None:
    with without_local_constants():
        alone = drawn()
    request.getfixturevalue("another_module")
    drawn()
    with without_local_constants():
        assert drawn() == alone


def test_a_property_draws_so() -> None:
    subject = understand("mhsa:MultiHeadAttention", ("float64",))
    before = providers._get_local_constants
    with judging(subject):
        assert providers._get_local_constants is not before
    assert providers._get_local_constants is before


def test_a_hypothesis_without_such_a_pool_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(providers, "_get_local_constants")
    with without_local_constants(), nullcontext():
        assert not hasattr(providers, "_get_local_constants")
