"""Bugs of real projects, written anew in those projects' styles: each is found by the quick profile."""

import pytest

from mhsa.records.request import Request
from mhsa.records.results import SubjectResult
from mhsa.run.runner import Options, run
from tests.helpers.more import chosen
from tests.helpers.places import CORPUS

FOLDER = CORPUS / "census"
FACTORIES = {"softmax_dim_zero.py": "softmax_dim_zero.py:make"}  # the name of its width is not a usual one
NAMES = [FACTORIES.get(p.name, p.name) for p in sorted(FOLDER.glob("*.py"))]


@pytest.fixture(scope="module")
def judged(request: pytest.FixtureRequest) -> dict[str, SubjectResult]:
    """Every module, judged in one run that ends each at its first failure."""
    results = run(Options(tuple(Request.of(str(FOLDER / name)) for name in chosen(request, "name", NAMES)), exit_first=True))
    return {r.subject.rpartition("/")[2]: r for r in results}


def test_there_are_at_least_twenty() -> None:
    assert len(NAMES) >= 20


@pytest.mark.parametrize("name", NAMES)
def test_the_bug_is_found(judged: dict[str, SubjectResult], name: str) -> None:
    assert judged[name].verdict == "violated"
    failed = next(p for p in judged[name].properties if p.outcome == "fail")
    assert "raised" not in failed.reason, "these bugs are quiet"
