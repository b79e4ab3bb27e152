"""Objects in place of names: ``mhsa.verify(object)`` and ``@mhsa.verifies(object)``."""

import functools
import linecache
import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import ClassVar

import pytest
import torch
from torch import Tensor, nn

import mhsa
from mhsa.judge.inline import judge_inline
from mhsa.records.catalogue import EVERYTHING, catalogue
from mhsa.records.request import Request
from tests.helpers.places import ROOT

FEW = ("oracle.output_*", "construction.indivisible_width_is_refused")
quickly = functools.partial(mhsa.verify, dtypes=("float64",), properties=FEW)


class Attention(nn.Module):
    scaled = True

    def __init__(self, embed_dim: int, num_heads: int) -> None:
        super().__init__()
        if embed_dim % num_heads:
            raise ValueError("no multiple")
        self.embed_dim, self.num_heads = embed_dim, num_heads
        self.q, self.k, self.v, self.o = (nn.Linear(embed_dim, embed_dim) for _ in range(4))

    def forward(self, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None = None) -> Tensor:
        heads = ((f(x).unflatten(-1, (self.num_heads, -1)).transpose(1, 2))
                 for f, x in ((self.q, query), (self.k, key), (self.v, value)))  # fmt: skip
        return self.o(core(*heads, mask if mask is None else mask[:, None], self.scaled).transpose(1, 2).flatten(2))


class Unscaled(Attention):
    scaled = False


class Blocked(Attention):
    def forward(self, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None = None) -> Tensor:
        return super().forward(query, key, value, mask if mask is None else ~mask)


def core(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None, scaled: bool = True) -> Tensor:
    scores = q @ k.mT / (q.size(-1) ** 0.5 if scaled else 1.0)
    return (scores if mask is None else scores.masked_fill(~mask, -1e9)).softmax(-1) @ v


class BlockedAdapter(mhsa.Adapter):
    def build(self, head: int, d_model: int) -> nn.Module:
        return Blocked(d_model, head)


def test_what_holds_is_true_and_says_so_in_one_line_and_in_several() -> None:
    result = quickly(Attention)
    assert result
    assert result.verdict == "holds"
    assert result.failures == []
    assert [p.id for p in result.properties] == [
        "oracle.output_without_mask", "oracle.output_under_masks", "construction.indivisible_width_is_refused"
    ]  # fmt: skip
    assert repr(result) == "<Attention holds: 3 properties on 52 cases>"
    lines = str(result).splitlines()
    assert lines[0] == "Attention"
    assert lines[1] == "  call        forward(query, key, value, mask)"
    assert lines[-1] == "  holds: 3 properties on 52 cases"


def test_what_is_wrong_is_false_with_the_failures_and_their_smallest_cases() -> None:
    result = quickly(Unscaled)
    assert not result
    assert result.verdict == "violated"
    assert [p.id for p in result.failures] == ["oracle.output_without_mask", "oracle.output_under_masks"]
    assert repr(result).startswith("<Unscaled violated: 2 of 3 properties fail: oracle.output_without_mask, oracle.output_un")
    said = str(result)
    assert "  FAILED oracle.output_without_mask: output[0, 0, 0]=" in said
    assert "    smallest case: B=1 H=1 Tq=1 Tk=2 d_k=2 (d_model=2), float64, data integers, mask none" in said
    assert said.endswith("  violated: 2 of 3 properties fail")
    with pytest.raises(AssertionError) as raised:
        quickly(Unscaled, raise_on_failure=True)
    assert str(raised.value) == said


def test_an_instance_is_judged_in_its_own_size_and_left_as_it_is() -> None:
    module = Attention(12, 3).train()
    before = {name: x.clone() for name, x in module.state_dict().items()}
    torch.manual_seed(5)
    state = torch.random.get_rng_state()
    result = quickly(module)
    assert result
    assert result.label == "Attention"
    assert result.subject == f"{__name__}:Attention"
    assert result.count("not-applicable") == 1, "a built module cannot have another width"
    assert module.training
    assert all(torch.equal(before[name], x) for name, x in module.state_dict().items())
    assert torch.equal(state, torch.random.get_rng_state())


OBJECTS = {
    "function": core,
    "factory": lambda head, d_model: Attention(d_model, head),
    "torch": nn.MultiheadAttention,
    "module": mhsa.MultiHeadAttention(2, 6),
    "name": "mhsa:MultiHeadAttention",
}


@pytest.mark.parametrize("subject", OBJECTS.values(), ids=OBJECTS)
def test_whatever_the_command_line_takes_by_name_is_taken_as_an_object(subject: object) -> None:
    result = mhsa.verify(subject, dtypes=torch.float64, properties="oracle.output_under_masks")
    assert result, str(result)


@pytest.mark.parametrize("contract", [{"mask": "blocked"}, mhsa.Contract(mask="blocked")])
@pytest.mark.parametrize("subject", [Blocked, Blocked(6, 2), BlockedAdapter, BlockedAdapter()])
def test_a_contract_may_be_given_whole_or_by_its_fields(contract: object, subject: object) -> None:
    few = {"properties": "oracle.output_under_masks"}
    assert not quickly(subject, **few)
    assert quickly(subject, contract=contract, **few)
    assert not quickly(subject, **few), "it was given for one call, not for ever"


def added(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None) -> Tensor:
    scores = q @ k.mT / q.size(-1) ** 0.5
    return (scores if mask is None else (scores + mask).clamp(min=-1e9)).softmax(-1) @ v


def added_in_place(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None) -> Tensor:
    return added(q, k, v, mask if mask is None else mask.mul_(2).clamp_(min=-1e9))


def added_upside_down(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None) -> Tensor:
    return added(q, k, v, mask if mask is None else torch.where(mask == 0, -torch.inf, 0.0))


@pytest.mark.parametrize(
    ("function", "failed"),
    [(added, []), (added_in_place, ["purity.arguments_are_left_alone"]), (added_upside_down, ["oracle.output_under_masks"])],
)
def test_a_function_on_heads_may_add_its_mask(function: object, failed: list[str]) -> None:
    few = ("oracle.output_*", "purity.arguments_*", "masks.all_small_masks", "layout.*")
    found = quickly(function, contract={"mask": "additive"}, properties=few)
    assert "0 may attend and -inf may not" in str(found)
    if len(failed) and "oracle" in failed[0]:
        assert failed[0] in [p.id for p in found.failures]
    else:
        assert [p.id for p in found.failures] == failed, str(found)


def test_arguments_reach_the_constructor() -> None:
    result = quickly(Attention, arguments={"embed_dim": 6, "num_heads": 2})
    assert result
    assert result.count("not-applicable") == 1, "in that size alone"
    assert "takes no argument 'emebd_dim'; did you mean embed_dim?" in str(quickly(Attention, arguments={"emebd_dim": 6}))


def test_expected_failures_have_reasons_and_one_that_passes_is_a_warning() -> None:
    result = quickly(Unscaled, expected_failures={"oracle.*": "issue 12"})
    assert result
    assert [p.outcome for p in result.properties] == ["expected-failure", "expected-failure", "pass"]
    assert result.properties[0].reason.startswith("issue 12; output[")
    assert repr(result) == "<Unscaled holds: 1 property on 4 cases; 2 fail as expected>"
    result = quickly(Attention, expected_failures={"oracle.output_without_mask": "none any more"})
    assert "warning: oracle.output_without_mask passes, but was expected to fail" in str(result)


@pytest.mark.parametrize("ask", [mhsa.verify, mhsa.verifies])
@pytest.mark.parametrize(
    ("given", "kind", "words"),
    [
        ({"expected_failures": {"oracle.output_withot_mask": "x"}}, ValueError,
         "names 'oracle.output_withot_mask', and no property has that id; did you mean 'oracle.output_without_mask'?"),
        ({"expected_failures": {"nothing": "x"}}, ValueError, "`mhsa properties` lists them"),
        ({"expected_failures": {3: "x"}}, ValueError, "names 3, and no property"),
        ({"expected_failures": {"oracle.*": " "}}, ValueError, "needs a reason: a text"),
        ({"expected_failures": ["oracle.*"]}, TypeError, "must be a dict of ids and reasons"),
        ({"contract": {"maks": "blocked"}}, ValueError, "mhsa.Contract has no 'maks'; did you mean 'mask'?"),
        ({"contract": {"mask": "forbidden"}}, ValueError, "must be one of None, 'allowed', 'blocked', 'additive'"),
        ({"contract": "blocked"}, TypeError, "must be an mhsa.Contract, or a dict of its fields"),
        ({"profile": "fast"}, ValueError, "(profile='fast'); must be one of quick, ci, thorough"),
        ({"dtypes": "float8"}, ValueError, "(dtypes=['float8']); must be of float64"),
        ({"dtypes": (torch.int8,)}, ValueError, "(dtypes=['int8']); must be of float64"),
        ({"seed": -1}, ValueError, "(seed=-1); must be a whole number of at least 0"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_with_what_can(ask, given: dict, kind: type[Exception], words: str) -> None:
    with pytest.raises(kind) as raised:
        ask(Attention, **given)
    assert words in str(raised.value)
    assert str(raised.value).startswith((f"{ask.__name__}(", "Contract("))


@pytest.mark.parametrize("ask", [mhsa.verify, mhsa.verifies])
@pytest.mark.parametrize("subject", [42, None, [Attention], torch, torch.zeros(3)])
def test_what_is_no_subject_is_told_what_is_one(ask, subject: object) -> None:
    with pytest.raises(TypeError) as raised:
        ask(subject)
    said = str(raised.value)
    assert said.startswith(f"{ask.__name__}({repr(subject)[:20]}")
    assert f"a {type(subject).__name__} cannot be a subject; must be an nn.Module class or object, a factory" in said
    assert ("one" in said.partition(".py'")[2]) == isinstance(subject, list)


def test_no_property_of_that_name_is_an_error_too() -> None:
    with pytest.raises(ValueError, match=r"verify\(properties=...\) names 'oracel.\*', and no property has that id"):
        mhsa.verify(Attention, properties="oracel.*")


@pytest.mark.parametrize(
    ("given", "near"),
    [("oracel.*", "oracle.*"), ("output_without_masks", "oracle.output_without_mask"), ("mask.*", "masks.*")],
)
def test_a_mistyped_property_names_the_nearest_one(given: str, near: str) -> None:
    with pytest.raises(ValueError, match=f"and no property has that id; did you mean '{re.escape(near)}'\\?"):
        mhsa.verify(Attention, properties=[given])


def test_what_cannot_be_judged_is_not_true_either() -> None:
    result = mhsa.verify(nn.Linear)
    assert not result
    assert result.verdict in ("unjudged", "question")
    assert repr(result).startswith(f"<Linear {result.verdict}: Linear(")
    with pytest.raises(AssertionError, match="has no parameter that is known to be the number of heads"):
        mhsa.verify(nn.Linear, raise_on_failure=True)


def test_a_function_of_a_notebook_has_a_path_and_no_file() -> None:
    path = "/tmp/ipykernel_1/2.py"  # where a cell claims to be; Python's line cache has the text
    source = "def in_a_cell(q, k, v, mask=None):\n    return core(q, k, v, mask)\n"
    linecache.cache[path] = (len(source), None, source.splitlines(keepends=True), path)
    assert not Path(path).exists()
    space = {"core": core, "__name__": __name__}
    exec(compile(source, path, "exec"), space)
    assert quickly(space["in_a_cell"])


def test_nothing_is_imported_before_something_is_judged() -> None:
    code = "import sys, mhsa; mhsa.verify; mhsa.verifies(lambda q, k, v: q); print({'torch', 'hypothesis'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


def parameters(test) -> dict[str, object]:
    return {p.id: p.values[0] for p in test.pytestmark[0].args[1]}


def test_objects_are_called_after_their_classes_each_by_a_name_of_its_own() -> None:
    @mhsa.verifies(Attention, Attention(6, 2), Unscaled(6, 3), "mhsa:MultiHeadAttention", expected_failures={"oracle.*": "why"})
    def test_attention(check):
        check()

    found = parameters(test_attention)
    quick = [p.id for p in catalogue() if not p.slow]
    labels = ("Attention", "Attention-2", "Unscaled", "mhsa:MultiHeadAttention")
    assert list(found) == [f"{label}-{identity}" for label in labels for identity in (*quick, EVERYTHING)]
    assert found["Attention-2-masks.masked_weights_are_zero"].request.label == "Attention-2"
    with pytest.raises(pytest.skip.Exception, match="needs weights"):
        found["Attention-2-masks.masked_weights_are_zero"]()
    found["Attention-masks.masking_is_deleting"]()
    with pytest.raises(pytest.xfail.Exception, match="why; output"):
        found["Unscaled-oracle.output_without_mask"]()


def test_parentheses_may_be_left_out(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text('[tool.mhsa.subjects]\nown = "mhsa:MultiHeadAttention"\n')
    monkeypatch.setattr("mhsa.judge.decorators.find", lambda folder: tmp_path / "pyproject.toml")

    @mhsa.verifies
    def test_attention(check):
        check()

    @mhsa.verifies()
    def test_the_same(check):
        check()

    assert list(parameters(test_attention)) == list(parameters(test_the_same))
    assert parameters(test_attention)["own-oracle.output_without_mask"].request.label == "own"
    with pytest.raises(ValueError, match=r"test_nothing\(\) must take an argument named check, and call it"):

        @mhsa.verifies
        def test_nothing():
            pass


class CountsThreads(Attention):
    seen: ClassVar[set[int]] = set()

    def forward(self, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None = None) -> Tensor:
        self.seen.add(torch.get_num_threads())
        return super().forward(query, key, value, mask)


class UnscaledOnThreads(CountsThreads):
    scaled = False


class TestThreads:
    @pytest.fixture(autouse=True)
    def two(self, monkeypatch: pytest.MonkeyPatch):
        for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
            monkeypatch.delenv(name, raising=False)
        before = torch.get_num_threads()
        torch.set_num_threads(2)
        CountsThreads.seen.clear()
        yield
        torch.set_num_threads(before)

    @pytest.mark.parametrize("subject", [CountsThreads, UnscaledOnThreads])
    def test_a_check_runs_on_one_and_puts_the_number_back_whatever_comes_of_it(self, subject: type) -> None:
        request, identity = Request("s", "s:s", dtypes=("float64",)), "oracle.output_without_mask"
        if subject.scaled:
            judge_inline(request, identity, strict=True, target=subject)
        else:
            with pytest.raises(pytest.fail.Exception):
                judge_inline(request, identity, strict=True, target=subject)
        assert CountsThreads.seen == {1}
        assert torch.get_num_threads() == 2

    def test_the_number_is_put_back_where_loading_fails_too(self) -> None:
        assert not mhsa.verify(nn.Linear)
        assert torch.get_num_threads() == 2

    def test_so_does_numpy_and_no_variable_is_set_for_it(self) -> None:
        code = """
            import os
            import torch
            from mhsa.subject.torch_settings import on_one_thread

            before = dict(os.environ)
            with on_one_thread():
                assert dict(os.environ) == before
                from threadpoolctl import threadpool_info, threadpool_limits

                def threads():
                    return {library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"}

                assert threads() == {1}
            with threadpool_limits(2, user_api="blas"):
                with on_one_thread():
                    assert threads() == {1}
                assert threads() == {2}
        """
        environment = {k: v for k, v in os.environ.items() if not k.startswith(("OMP_", "MKL_"))}
        done = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(code)], env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr

    def test_who_has_chosen_a_number_keeps_it(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("OMP_NUM_THREADS", "2")
        quickly(CountsThreads)
        assert CountsThreads.seen == {2}

    def test_properties_that_pytest_runs_itself_do_so_too(self, tmp_path: Path) -> None:
        (tmp_path / "threads.py").write_text(
            "import torch\n\n\ndef attend(q, k, v, mask=None):\n    assert torch.get_num_threads() == 1, 'threads'\n"
            "    return torch.nn.functional.scaled_dot_product_attention(q, k, v, mask)\n"
        )
        environment = {k: v for k, v in os.environ.items() if not k.startswith(("PYTEST_", "OMP_", "MKL_"))}
        properties = ROOT / "properties" / "test_oracle.py"
        two = "import sys, pytest, torch; torch.set_num_threads(2); sys.exit(pytest.main(sys.argv[1:]))"
        options = ("--attention", tmp_path / "threads.py", "-k", "without_mask", "-q", "-c", os.devnull, "--rootdir", tmp_path)
        done = subprocess.run(
            [sys.executable, "-c", two, properties, *options],
            env=environment, capture_output=True, text=True, check=False, cwd=tmp_path,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout
