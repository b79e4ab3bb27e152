"""The two sides of a comparison, and the requirement that nothing is left of them."""

import sys
from collections.abc import Callable

import pytest

from mhsa.bench.git.isolated_imports import Side
from tests.helpers.two_sides import PACKAGE, write


@pytest.fixture
def as_before(tmp_path):
    """Whatever a side does, afterwards all is as before, but for what came from elsewhere."""
    path, before = sys.path, sys.path[:]
    finders, modules = sys.meta_path[:], dict(sys.modules)
    yield
    assert sys.path is path
    assert sys.path == before
    assert sys.meta_path == finders
    assert {name: module for name, module in sys.modules.items() if name in modules} == modules
    for name in sys.modules.keys() - modules.keys():
        places = str(vars(sys.modules[name]).get("__file__")), *map(str, vars(sys.modules[name]).get("__path__", ()))
        assert not any(sign in place for place in places for sign in (f"{tmp_path}/base", f"{tmp_path}/head", "mhsa-tree"))
        if any(str(tmp_path) in place for place in places):  # a test's own, which its sides import
            del sys.modules[name]


@pytest.fixture
def two(tmp_path) -> Callable[..., tuple[Side, Side]]:
    """Two sides of the same files, in which {0} stands for base and for head."""

    def make(files: dict[str, str] = PACKAGE, within: str = "") -> tuple[Side, Side]:
        base, head = (write(tmp_path / kind / "attn", files, kind) / within for kind in ("base", "head"))
        return Side(base), Side(head)

    return make
