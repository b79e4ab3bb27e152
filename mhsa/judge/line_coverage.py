"""Which lines of a subject's own file the properties have run; of the others a green verdict says nothing."""

from __future__ import annotations

import json
import linecache
import sysconfig
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import coverage

_MOST = 200  # lines that are listed


class Covering:
    """Line coverage of everything but libraries; begins before the subjects are loaded."""

    def __init__(self) -> None:
        libraries = {sysconfig.get_path(name) for name in ("stdlib", "purelib", "platlib")} | {str(Path(__file__).parents[1])}
        # No file of the user's, and no setting of theirs: this is a measurement of its own.
        self.tool = coverage.Coverage(data_file=None, config_file=False, omit=[f"{folder}/*" for folder in libraries])
        self.tool.start()

    def write(self, path: Path, files: Mapping[int, str]) -> None:
        """End, and write the coverage of each subject's file, by the subject's number."""
        self.tool.stop()
        covered = {number: self._of(file) for number, file in files.items()}
        path.write_text(json.dumps({str(n): of_file for n, of_file in covered.items() if of_file is not None}))

    def _of(self, file: str) -> dict[str, Any] | None:
        try:
            _, statements, _, missing, _ = self.tool.analysis2(file)
        except coverage.CoverageException:
            return None
        return {
            "file": file,
            "statements": len(statements),
            "executed": len(statements) - len(missing),
            "missing": missing[:_MOST],
            "lines": {str(n): linecache.getline(file, n).rstrip() for n in missing[:_MOST]},
        }
