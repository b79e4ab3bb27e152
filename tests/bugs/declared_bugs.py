"""Known bugs of declared features, and the properties that find them: judged together, in one run for a file of tests."""

from collections.abc import Callable, Mapping, Sequence

import pytest

from mhsa.bugs.mutants.registry import Mutant
from tests.helpers.more import chosen

# The families that look at what a declared formula changes: a feature done right holds in all of them. By every property
# crossed formulas are judged, in tests/reference/test_formulas.py.
FAMILIES = (
    "oracle or causality or groups or rotary or biases or sinks or soft_cap or qk_norm or gradients or weights or masked"
    " or dropout"
)
Pair = tuple[str, str]  # a known bug and a property that finds it, by their names


def first_pairs(found_by: Mapping[str, Sequence[str]]) -> list[Pair]:
    """Return each bug with the first of the properties that find it."""
    return [(name, identities[0]) for name, identities in found_by.items()]


def further_pairs(found_by: Mapping[str, Sequence[str]]) -> list[Pair]:
    """Return each bug with the other properties that find it."""
    return [(name, identity) for name, identities in found_by.items() for identity in identities[1:]]


def outcomes_of(
    request: pytest.FixtureRequest,
    judge_pairs: Callable[[set[Pair]], dict[Pair, str]],
    bugs: Sequence[Mutant],
    found_by: Mapping[str, Sequence[str]],
) -> dict[Pair, str]:
    """Return the outcome of each pair that tests of this file run with, as ``pair`` or as ``another``."""
    specs = {bug.name: bug.spec for bug in bugs}
    wanted = chosen(request, "pair", first_pairs(found_by)) + chosen(request, "another", further_pairs(found_by))
    found = judge_pairs({(specs[name], identity) for name, identity in wanted})
    return {(spec.rpartition(":")[2], identity): outcome for (spec, identity), outcome in found.items()}


def named(pair: Pair) -> str:
    """Return the id of a test with this pair."""
    return "-".join(pair)
