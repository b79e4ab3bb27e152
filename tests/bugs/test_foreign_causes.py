"""Wrong modules in foreign styles: each is given the cause that its docstring names, or none where no mutant has its bug."""

import re

import pytest

from mhsa.bugs.diagnosis.match import compare
from mhsa.bugs.mutants.registry import mutants
from mhsa.introspect.resolve import understand
from mhsa.records.request import Request
from tests.helpers.places import CORPUS

FOLDER = CORPUS / "foreign"
FOREIGN = sorted(p.name for p in FOLDER.glob("*.py"))

# What another convention explains is a question; declared, the usual one is not kept.
FACTORIES = {"additive_minus_ten.py", "keep_probability.py"}  # one name of their arguments is not a usual one
DECLARED = {
    "mask_equals_one.py": {"mask": "allowed"},
    "nanogpt_always_causal.py": {"causal": "no"},
    "logits_returned.py": {"weights": "softmax"},
}


def declared(name: str) -> set[str]:
    """The cause that a module gives in its docstring."""
    (cause,) = re.findall(r"Cause: (\w+)", (FOLDER / name).read_text())
    return set() if cause == "none" else {cause}


def test_there_are_at_least_forty_and_their_causes_are_mutants() -> None:
    assert len(FOREIGN) >= 40
    assert set().union(*map(declared, FOREIGN)) <= {m.name for m in mutants()}
    assert sum(not declared(name) for name in FOREIGN) >= 3


@pytest.mark.parametrize("name", FOREIGN)
def test_the_cause_of_a_foreign_module(name: str) -> None:
    spec = f"{FOLDER / name}:make" if name in FACTORIES else str(FOLDER / name)
    assert set(compare(understand(Request(name, spec, contract=DECLARED.get(name, {})))).names) == declared(name)
