"""A file with the source of models, written once for all tests of a module."""

from collections.abc import Callable
from pathlib import Path

import pytest


def model_file(source: str, name: str = "model.py") -> Callable[[pytest.TempPathFactory], Path]:
    """Return the fixture of a file ``name`` with this source; its module is imported under that name."""

    def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
        path = tmp_path_factory.mktemp("source") / name
        path.write_text(source)
        return path

    return pytest.fixture(scope="module")(written)
