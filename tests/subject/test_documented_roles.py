"""Arguments of a constructor whose names say nothing, and whose docstring does."""

import inspect
from collections.abc import Callable

import pytest
from torch import nn

from mhsa.introspect.resolve import understand
from mhsa.subject.construction.by_source.documented_roles import documented_roles
from tests.subject.constructed import Plain


class Documented(Plain):
    """Attention.

    K:   number of attention heads
    :param int n: the dimension of each head
    """

    def __init__(self, K: int, n: int) -> None:
        super().__init__()
        self.prepare(K, K * n)


class InTheStyleOfNumPy(Plain):
    def __init__(self, breadth: int, m: int, q: float) -> None:
        """Prepare.

        Parameters
        ----------
        breadth : int
            Dimensionality of the input tokens.
        m : int
            Number of parallel heads.
        q : float
            Dropout rate.
        """
        super().__init__()
        self.prepare(m, breadth)
        self.dropout = nn.Dropout(q)


@pytest.mark.parametrize("name", ["Documented", "InTheStyleOfNumPy"])
def test_it_is_built_as_its_docstring_says(name: str) -> None:
    assert understand(f"{__file__}:{name}").adapter.sizes is None


def parameters_of(target: Callable[..., object]) -> dict[str, inspect.Parameter]:
    return dict(inspect.signature(target).parameters)


def test_what_has_a_default_that_is_no_whole_number_has_no_role() -> None:
    def make(z: float = 1.0, n: int = 4) -> None:
        """Make.

        z: number of heads
        n: number of heads
        """
        del z, n

    assert documented_roles(make, parameters_of(make)) == {"n": "head"}


def test_what_they_are() -> None:
    assert documented_roles(Documented, parameters_of(Documented)) == {"K": "head", "n": "head width"}
    roles = {"breadth": "d_model", "m": "head", "q": "dropout"}
    assert documented_roles(InTheStyleOfNumPy, parameters_of(InTheStyleOfNumPy)) == roles


@pytest.mark.parametrize(
    ("said", "role"),
    [
        ("z: number of key/value heads", {"z": "kv head"}),
        ("z (int): size of the embedding", {"z": "d_model"}),
        ("z: what the number of heads is not", {}),
        ("z: extra factor of the scores, next to 1 / sqrt(head dim)", {}),
        ("z: ratio of mlp hidden dim to embedding dim", {}),
        ("z: whether the head dimension is normalised", {}),
        ("the z of heads", {}),
        ("y, z: number of heads", {}),
        ("z: first row", {}),
    ],
)
def test_words(said: str, role: dict[str, str]) -> None:
    def make(z: int) -> None:
        del z

    make.__doc__ = said
    assert documented_roles(make, parameters_of(make)) == role
