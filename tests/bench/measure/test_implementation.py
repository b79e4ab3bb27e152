"""What is timed is the module's own call, and no more, unless its adapter has a part in the result; and what can be built."""

import functools
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from mhsa.bench.measure.baseline import plain_attention
from mhsa.bench.measure.implementation import Built, NotMeasurable, build, loaded
from mhsa.bench.measure.measurement import PASSES, Contender
from mhsa.records.errors import SubjectError
from mhsa.records.request import Request
from mhsa.records.shape import shape_of
from tests.helpers.building import maker, verdict
from tests.helpers.timed import GIVES_WEIGHTS, RIGHT

SUBJECTS = """

class Listens(Right):
    calls = 0

    def forward(self, *given, **named):
        Listens.calls += 1
        given = given[0] if isinstance(given[0], (list, tuple)) else given
        query, key, value = given if len(given) > 1 else given * 3
        return super().forward(query, key, value)


class Described(mhsa.Adapter):
    inputs = "x"
    takes_mask = False

    def build(self, head, d_model):
        return Listens(d_model, head)

    def projections(self, module):
        return mhsa.Projections.of_linears(module.query, module.key, module.value, module.out)


class PassesOn(Described):
    def call(self, module, query, key, value, mask):
        return module(query)


class Multiplies(Described):
    def call(self, module, query, key, value, mask):
        return module(query) * 1.0


class CallsTwice(Described):
    def call(self, module, query, key, value, mask):
        module(query)
        return module(query)


class CallsSomethingElse(Described):
    def call(self, module, query, key, value, mask):
        return Listens.forward(module, query)


class PassesACopy(Described):
    def call(self, module, query, key, value, mask):
        return module(query.clone())


class PassesAList(Described):
    def call(self, module, query, key, value, mask):
        return module([query, key, value])


class PassesTheLength(Described):
    def build(self, head, d_model):
        return Sliced(d_model, head)

    def call(self, module, query, key, value, mask):
        return module(query, query.shape[1])


class Sliced(Right):
    def forward(self, x, length):
        return super().forward(x, x[:, :length], x[:, :length])


class NegatesInPlace(Described):
    def build(self, head, d_model):
        return Negative(d_model, head)

    def call(self, module, query, key, value, mask):
        return module(query).neg_()


class Negative(Right):
    def forward(self, x):
        return -super().forward(x, x, x)
"""


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("subjects") / "subjects_of_calls.py"
    path.write_text(RIGHT + GIVES_WEIGHTS + SUBJECTS)
    return path


@pytest.fixture(scope="module")
def make(file: Path) -> Callable[..., Built]:
    return maker(file)


class TestWhatIsTimed:
    def calls(self, call: Callable[[], object]) -> int:
        from sys import modules

        (module,) = [
            m for name, m in modules.items() if name.startswith("mhsa_subject_subjects_of_calls_") and hasattr(m, "Listens")
        ]
        before = module.Listens.calls
        call()
        return int(module.Listens.calls - before)

    def test_an_adapter_that_passes_on_is_left_out(self, make: Callable[..., Built]) -> None:
        built = make("PassesOn", "2x17x3x24")
        call = built.bind(built.x)
        assert isinstance(call, functools.partial)
        assert call.func is built.trial.module
        assert call.args == (built.x,)
        assert self.calls(call) == 1

    def test_a_module_is_called_by_its_own_names(self, make: Callable[..., Built]) -> None:
        built = make("Right", "2x17x3x24")
        call = built.bind(built.x)
        assert isinstance(call, functools.partial)
        assert call.func is built.trial.module
        assert call.keywords == {"query": built.x, "key": built.x, "value": built.x, "mask": None}

    @pytest.mark.parametrize(
        ("name", "times"), [("Multiplies", 1), ("CallsTwice", 2), ("CallsSomethingElse", 1), ("PassesACopy", 1)]
    )
    def test_an_adapter_that_does_more_is_timed_with_all_it_does(
        self, make: Callable[..., Built], name: str, times: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        built = make(name, "2x17x3x24")
        asked = []
        through = built.trial.subject.adapter.call
        monkeypatch.setattr(built.trial.subject.adapter, "call", lambda *a: asked.append(1) or through(*a))
        call = built.bind(built.x)
        asked.clear()
        assert self.calls(call) == times
        assert asked == [1]
        assert [verdict(built, passes) for passes in PASSES] == ["", ""]

    @pytest.mark.parametrize("name", ["PassesAList", "PassesTheLength", "NegatesInPlace"])
    def test_what_the_adapter_makes_of_one_input_is_not_given_to_the_next(self, make: Callable[..., Built], name: str) -> None:
        built = make(name, "2x17x3x24")
        other = torch.cat([built.x, built.x + 1.0], 1)
        with torch.no_grad():
            whole = built.trial.subject.caller(built.trial.module, other, other, other, None)[0]
            assert torch.equal(built.bind(other)(), whole)
        assert [verdict(built, passes) for passes in PASSES] == ["", ""]

    @pytest.mark.parametrize("name", ["GivesWeights", "torch", "torch+weights", "reference", "fused"])
    def test_the_output_is_taken_out_of_what_is_returned(self, make: Callable[..., Built], name: str) -> None:
        built = make(name, "exercise")
        with torch.no_grad():
            whole = built.trial.subject.caller(built.trial.module, *[built.x] * 3, None, built.contender.need_weights)[0]
            assert torch.equal(built.bind(built.x)(), whole)

    @pytest.mark.parametrize("wanted", [False, True])
    def test_weights_are_asked_for_only_if_wanted(self, make: Callable[..., Built], wanted: bool) -> None:
        built = make("GivesWeights", "2x17x3x24", need_weights=wanted)
        told = []
        built.trial.module.told = told.append
        built.bind(built.x)()
        assert len(told) == wanted

    def test_the_floor_is_called_without_a_module(self, make: Callable[..., Built]) -> None:
        built = make("baseline", "exercise")
        call = built.bind(built.x)
        assert isinstance(call, functools.partial)
        assert call.func is plain_attention
        assert all(a is b for a, b in zip(call.args[2:], built.trial.module.flat(), strict=True))


class TestBuilding:
    def test_all_are_given_the_same_numbers(self, make: Callable[..., Built]) -> None:
        first, second = make("reference", "exercise"), make("baseline", "exercise")
        assert torch.equal(first.x, second.x)
        for one, other in zip(first.trial.views.views(), second.trial.views.views(), strict=True):
            assert torch.equal(one[1].read(), other[1].read())

    def test_another_size_or_dtype_than_there_is_cannot_be_measured(self, file: Path) -> None:
        path = file.parent / "one_size.py"
        path.write_text(f"{RIGHT}\n\nbuilt = Right(24, 3)\n")
        contender = Contender("one size", Request("one size", f"{path}:built", dtypes=("float32",)))
        subject = loaded(contender, "cpu")
        with pytest.raises(NotMeasurable, match="exists with head=3, d_model=24 only"):
            build(contender, subject, shape_of("exercise"), "float32", "cpu")
        with pytest.raises(NotMeasurable, match="declared for float32, not for float64"):
            build(contender, subject, shape_of("2x16x3x24"), "float64", "cpu")
        assert verdict(build(contender, subject, shape_of("2x16x3x24"), "float32", "cpu"), "forward") == ""

    def test_another_formula_than_plain_attention_is_not_called_wrong(self) -> None:
        for name, words in (("Causal", "causal"), ("Grouped", "grouped keys and values")):
            contender = Contender(name, Request.of(f"mhsa.bugs.mutants.right_formula:{name}"))
            with pytest.raises(NotMeasurable, match=f"declared with {words}.*known are those of plain attention"):
                build(contender, loaded(contender, "cpu"), shape_of("exercise"), "float32", "cpu")

    def test_what_is_not_there_cannot_be_loaded(self, file: Path) -> None:
        with pytest.raises(SubjectError, match="did you mean Right"):
            loaded(Contender("nosuch", Request("nosuch", f"{file}:Rihgt")), "cpu")
