"""Which known bug a wrong subject has: compared number by number with every mutant, on the same parameters and cases."""

from __future__ import annotations

import importlib
from dataclasses import dataclass

from mhsa.cases import Case
from mhsa.mutants.plain import Plain
from mhsa.mutants.registry import Mutant, mutants
from mhsa.observing import Scene, alike, imitate, stage
from mhsa.oracle import EmptyRow
from mhsa.subject import Subject


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


def cases_for(subject: Subject) -> list[Case]:
    """Return the cases to compare on, in the forms that the subject can be called in."""
    found = []
    masks = [m for m in _MASKS if m in subject.masks]
    dtype = "float64" if "float64" in subject.dtypes else subject.dtypes[0]
    fixed = subject.adapter.sizes
    for n in range(2 * len(_SIZES)):
        batch, head, queries, keys, d_k = _SIZES[n % len(_SIZES)]
        tie = subject.ties[n % len(subject.ties)]
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
    return found


def compare(subject: Subject) -> Equivalence:
    """Compare the subject with the right module and with every mutant."""
    scenes = [stage(subject, case) for case in cases_for(subject)]
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
