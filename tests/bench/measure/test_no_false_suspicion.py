"""What computes what it must in the time that takes is measured, however it is written."""

import pytest

from mhsa.bench.measure.cell import Bench, Cell
from mhsa.bench.measure.measurement import PASSES, Contender, Measurement
from mhsa.records.request import Request
from mhsa.records.shape import shape_of
from tests.helpers.places import CORPUS

OWN = ("baseline", "reference", "fused", "torch", "torch+weights")
SEVERAL = {"sdpa_backends": ("plain", "flash")}  # objects of a file; of others there is one
RIGHT = [
    f"{path}:{name}" if name else str(path)
    for path in sorted((CORPUS / "right").glob("[!_]*.py"))
    for name in SEVERAL.get(path.stem, ("",))
]
SUBJECTS = ("torch.nn.functional:scaled_dot_product_attention", *RIGHT)


def measured(contender: Contender, dtype: str = "float32", shape: str = "exercise") -> list[Measurement]:
    bench = Bench(PASSES, 0.02, counted=False)
    return list(bench.measure(Cell(shape_of(shape), dtype, "cpu"), [contender]))


def refused(found: list[Measurement]) -> list[str]:
    return [m.words for m in found if m.outcome != "measured"]


@pytest.mark.parametrize("dtype", ["float64", "float32", "bfloat16", "float16"])
@pytest.mark.parametrize("name", OWN)
def test_what_comes_with_mhsa(name: str, dtype: str) -> None:
    assert refused(measured(Contender.known(name), dtype)) == []


@pytest.mark.parametrize("spec", SUBJECTS, ids=lambda spec: spec.rpartition("/")[2])
def test_right_modules(spec: str) -> None:
    assert refused(measured(Contender.of(Request.of(spec)))) == []


@pytest.mark.parametrize("spec", SUBJECTS, ids=lambda spec: spec.rpartition("/")[2])
@pytest.mark.parametrize("shape", ["encoder 128", "2x17x3x24"])
def test_right_modules_at_other_shapes(spec: str, shape: str) -> None:
    assert refused(measured(Contender.of(Request.of(spec)), shape=shape)) == []
