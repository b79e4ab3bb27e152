"""Which known bug a wrong subject has: compared number by number with every mutant, on the same parameters and cases."""

from __future__ import annotations

import contextlib
import importlib
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from mhsa.cases import Case, Tie
from mhsa.mutants.plain import Plain
from mhsa.mutants.registry import Mutant, mutants
from mhsa.observing import Scene, alike, imitate, stage
from mhsa.oracle import EmptyRow
from mhsa.subject import Subject
from mhsa.understanding import understand


@dataclass(frozen=True)
class Equivalence:
    """What the comparison found.

    Attributes:
        names: mutants that give the subject's numbers on every case, and so the cause; usually one, or none.
        cases: how many were compared.
        wrong: on how many of them the subject's numbers are not those of the right module.
    """

    names: tuple[str, ...]
    cases: int
    wrong: int


# Every size, mask, regime, tie and layout that some mutant needs to show itself, each with all others different; the
# last ones are coincidences of sizes. Few and fixed: a diagnosis is the same each time.
_SIZES = (
    (2, 3, 4, 5, 2), (3, 2, 7, 9, 5), (1, 3, 2, 6, 4), (2, 4, 1, 5, 3), (5, 2, 3, 8, 1), (2, 1, 4, 6, 3), (3, 5, 2, 1, 2),
    (2, 2, 3, 70, 3), (2, 3, 70, 5, 2), (1, 2, 3, 19, 130), (2, 7, 3, 4, 2), (7, 2, 3, 4, 3), (1, 2, 2, 530, 2),
    (1, 4, 2, 3, 130), (1, 1, 1, 1, 3), (4, 4, 3, 5, 2), (2, 3, 3, 5, 4), (3, 2, 3, 4, 5), (2, 3, 6, 6, 4), (4, 4, 4, 4, 4),
)  # fmt: skip
# What a row without any allowed key gets is a convention, and with some bugs other rows end like that too.
_CONVENTIONS: tuple[EmptyRow, ...] = ("zeros", "uniform")
_MASKS = ("none", "random", "padding", "broadcast", "causal", "empty_row")
_DATA = ("normal", "normal", "large", "ties")
_LAYOUTS = ("contiguous", "transposed", "sliced", "expanded")


def cases_for(subject: Subject, failed: Sequence[Case]) -> list[Case]:
    """Return the cases to compare on: those that the subject failed, and a fixed set."""
    found = []
    masks = [m for m in _MASKS if m in subject.masks]
    ties: tuple[Tie, ...] = subject.ties
    dtype = "float64" if "float64" in subject.dtypes else subject.dtypes[0]
    fixed = subject.adapter.sizes
    for n in range(2 * len(_SIZES)):
        batch, head, queries, keys, d_k = _SIZES[n % len(_SIZES)]
        tie = ties[n % len(ties)]
        if tie == "all":
            queries = keys = min(keys, 80)
        if fixed is not None:
            head, d_k = fixed[0], fixed[1] // fixed[0]
        found.append(
            Case(
                dtype=dtype, batch=batch, head=head, query_length=queries, key_length=keys, d_k=d_k, tie=tie,
                data=_DATA[n % 4], mask=masks[n % len(masks)], layout=_LAYOUTS[n // 2 % 4], grad=n % 3 == 0, seed=n,
            )
        )  # fmt: skip
    own = [c for c in failed if c.dtype == dtype and c.mask in subject.masks and c.tie in ties]
    return [*own[:12], *found]


def compare(subject: Subject, failed: Sequence[Case]) -> Equivalence:
    """Compare the subject with the right module and with every mutant."""
    scenes = [stage(subject, case) for case in cases_for(subject, failed)]
    wrong = [scene for scene in scenes if not any(_same(Plain, scene, convention) for convention in _CONVENTIONS)]
    if not any(scene.seen is not None for scene in wrong):
        return Equivalence((), len(scenes), len(wrong))
    # The telling cases first: nearly every mutant fails the first of them.
    told = [*wrong, *(scene for scene in scenes if scene not in wrong)]
    names = tuple(m.name for m in mutants() if _computes(m, told))
    return Equivalence(names, len(scenes), len(wrong))


def _computes(mutant: Mutant, scenes: list[Scene]) -> bool:
    kind: type[Plain] = getattr(importlib.import_module(f"mhsa.mutants.{mutant.kind}"), mutant.name)
    return any(all(_same(kind, scene, convention) for scene in scenes) for convention in _CONVENTIONS)


def _same(kind: type[Plain], scene: Scene, convention: EmptyRow) -> bool:
    return alike(scene.seen, imitate(kind, scene, convention), scene.room)


def _main() -> None:
    """Read a request from a file, write the answer to another: the child of ``mhsa verify`` and ``mhsa diagnose``."""
    request, answer = (Path(name) for name in sys.argv[1:3])
    asked: dict[str, Any] = json.loads(request.read_text(encoding="utf-8"))
    known = {field.name for field in fields(Case)}
    failed = [Case(**{k: v for k, v in case.items() if k in known}) for case in asked["cases"]]
    with contextlib.redirect_stdout(sys.stderr):
        subject = understand(asked["subject"], tuple(asked["dtypes"]), asked["device"])
        found = compare(subject, failed)
    answer.write_text(json.dumps(asdict(found)), encoding="utf-8")


if __name__ == "__main__":
    _main()
