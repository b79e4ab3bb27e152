"""A call with a query that may attend to no key is refused on purpose: that is a convention, and is judged as one."""

from typing import Any

import pytest

import mhsa
from mhsa.introspect.resolve import understand
from tests.helpers.layers import Layers


class RefusesRows(Layers):
    def forward(self, query, key, value, mask=None):
        if mask is not None and not mask.any(-1).all():
            raise ValueError("each query needs a key")
        return self.attend(query, key, value, None if mask is None else ~mask)


class RefusesSamplesByAssertion(Layers):
    def forward(self, query, key, value, mask=None):
        """Mask is [batch, keys], True for what is seen."""
        if mask is not None:
            assert bool(mask.any(1).all()), "nothing but padding"
        return self.attend(query, key, value, None if mask is None else ~mask[:, None, :])


class RaisesByAccident(Layers):
    """Looks up the first key that each sample may see, where one has none."""

    def forward(self, query, key, value, mask=None):
        if mask is not None:
            [row.nonzero()[0] for row in mask.any(1)]
        return self.attend(query, key, value, None if mask is None else ~mask)


class RefusesRarely(Layers):
    """Looks at the first sample alone."""

    def forward(self, query, key, value, mask=None):
        if mask is not None and not mask[0].any(-1).all():
            raise ValueError("each query needs a key")
        return self.attend(query, key, value, None if mask is None else ~mask)


def failures(kind: Any, **contract: str) -> list[str]:
    result = mhsa.verify(
        f"{__file__}:{kind.__name__}",
        profile="quick",
        dtypes="float64",
        contract=contract or None,
        properties="fully_masked_rows.*",
    )
    return [failure.id for failure in result.failures]


@pytest.mark.parametrize("kind", [RefusesRows, RefusesSamplesByAssertion])
def test_an_error_of_its_own_is_a_convention(kind: Any) -> None:
    assert understand(f"{__file__}:{kind.__name__}", ("float64",)).contract.fully_masked_row == "raises"
    assert not failures(kind)


def test_an_error_by_accident_is_a_violation() -> None:
    assert understand(f"{__file__}:RaisesByAccident", ("float64",)).contract.fully_masked_row != "raises"
    assert "fully_masked_rows.a_fully_masked_sample" in failures(RaisesByAccident)


def test_what_is_refused_in_some_calls_alone_is_a_violation() -> None:
    assert failures(RefusesRarely) == ["fully_masked_rows.other_rows_are_unchanged", "fully_masked_rows.a_fully_masked_sample"]


def test_a_declared_error_must_be_raised() -> None:
    assert "fully_masked_rows.other_rows_are_unchanged" in failures(RefusesRarely, fully_masked_row="raises")
