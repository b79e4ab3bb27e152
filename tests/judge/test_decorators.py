"""``@mhsa.verifies`` and ``@mhsa.cases`` in somebody's own pytest."""

import os
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import mhsa
from mhsa.judge.inline import judge_inline
from mhsa.records.catalogue import EVERYTHING, catalogue
from mhsa.records.configuration import ConfigurationError
from mhsa.records.request import Expected, Request

KERNELS = """
import torch


def scaled(q, k, v, mask=None):
    scores = q @ k.transpose(-2, -1) / q.size(-1) ** 0.5
    if mask is not None:
        scores = scores.masked_fill(~mask, -torch.inf)
    return scores.softmax(-1).nan_to_num(0.0) @ v


def unscaled(q, k, v, mask=None):
    return scaled(q * q.size(-1) ** 0.5, k, v, mask)
"""

CONFIGURATION = """
[tool.pytest.ini_options]
filterwarnings = ["error"]

[tool.mhsa]
strict = true

[tool.mhsa.subjects]
right = "kernels.py:scaled"
gone = "nosuch.module:thing"

[tool.mhsa.subjects.wrong]
subject = "kernels.py:unscaled"
expected_failures = [{ property = "oracle.output_under_masks", reason = "issue 12", link = "https://example.org/12" }]

[tool.mhsa.subjects.lucky]
subject = "kernels.py:scaled"
expected_failures = [{ property = "oracle.output_under_masks", reason = "no more" }]
"""

TESTS = """
import mhsa


@mhsa.verifies()
def test_attention(check):
    check()


@mhsa.verifies("right", profile="ci", dtypes=("float32",), seed=3)
def test_one(tmp_path, check):
    assert (check.request.profile, check.request.dtypes, check.request.seed) == ("ci", ("float32",), 3)


@mhsa.cases(count=5, masks=("padding", "causal"))
def test_cases(tmp_path, case):
    from kernels import scaled

    def heads(role, x):
        projected = x @ case.parameters[f"{role}.weight"].T + case.parameters[f"{role}.bias"]
        return projected.unflatten(-1, (case.head, -1)).transpose(1, 2)

    q, k, v = heads("query", case.query), heads("key", case.key), heads("value", case.value)
    mixed = scaled(q, k, v, case.mask[:, None]).transpose(1, 2).flatten(2)
    case.check(mixed @ case.parameters["out.weight"].T + case.parameters["out.bias"])
"""


@pytest.fixture(scope="module")
def theirs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("theirs")
    (folder / "kernels.py").write_text(KERNELS)
    (folder / "pyproject.toml").write_text(CONFIGURATION)
    (folder / "tests").mkdir()
    (folder / "tests" / "test_theirs.py").write_text(TESTS)
    return folder


def run_pytest(folder: Path, *arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    variables = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST_")} | {"COLUMNS": "300"} | environment
    return subprocess.run(
        [sys.executable, "-m", "pytest", *map(str, arguments)],
        cwd=folder, env=variables, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip


def outcomes(file: Path) -> dict[str, tuple[str, str]]:
    """What became of each test by pytest's JUnit: its outcome, and what it says."""
    found = {}
    for case in ElementTree.parse(file).iter("testcase"):
        child = next(iter(case), None)
        said = "" if child is None else f"{child.get('message')}\n{child.text}"
        kind = "passed" if child is None else child.get("type") if child.tag == "skipped" else "failed"
        found[case.get("name")] = (kind, said)
    return found


@pytest.fixture(scope="module")
def ran(theirs: Path) -> tuple[int, dict[str, tuple[str, str]]]:
    done = run_pytest(
        theirs, "-q", "-k", "test_attention and oracle or test_cases", "--junit-xml=j.xml", "-o", "junit_family=xunit2"
    )
    return done.returncode, outcomes(theirs / "j.xml")


ORACLE = [p.id for p in catalogue() if p.family == "oracle"]


def test_there_is_a_test_for_each_subject_and_property_and_k_chooses(ran) -> None:
    code, found = ran
    assert code == 1
    names = [f"test_attention[{subject}-{p}]" for subject in ("right", "gone", "wrong", "lucky") for p in ORACLE]
    assert [name for name in found if name.startswith("test_attention")] == names


def test_what_holds_passes_and_what_cannot_be_asked_is_skipped_with_the_reason(ran) -> None:
    _, found = ran
    assert found["test_attention[right-oracle.output_without_mask]"] == ("passed", "")
    assert found["test_attention[right-oracle.output_under_masks]"] == ("passed", "")
    kind, said = found["test_attention[right-oracle.returned_weights]"]
    assert kind == "pytest.skip"
    assert "needs weights [B, H, Tq, Tk], and the subject returns none" in said


def test_what_is_wrong_fails_with_the_smallest_case(ran) -> None:
    _, found = ran
    kind, said = found["test_attention[wrong-oracle.output_without_mask]"]
    assert kind == "failed"
    assert "oracle.output_without_mask  wrong" in said
    assert "output[0, 0, 0]=" in said
    assert "but must be" in said
    assert "smallest case: B=1 H=1 Tq=1 Tk=2 d_k=2 (d_model=2), float64, data integers, mask none" in said
    assert "Traceback" not in said
    assert "inline.py" not in said


def test_a_declared_failure_is_an_xfail_and_one_that_passes_fails_under_strict(ran) -> None:
    _, found = ran
    kind, said = found["test_attention[wrong-oracle.output_under_masks]"]
    assert kind == "pytest.xfail"
    assert "issue 12 https://example.org/12; output[" in said
    kind, said = found["test_attention[lucky-oracle.output_under_masks]"]
    assert kind == "failed"
    assert "of lucky passes, but was expected to fail: remove it from expected_failures" in said


def test_a_subject_that_cannot_be_loaded_fails_each_test_with_the_reason(ran) -> None:
    _, found = ran
    for identity in ORACLE:
        kind, said = found[f"test_attention[gone-{identity}]"]
        assert kind == "failed"
        assert "gone cannot be judged: import of nosuch.module failed: ModuleNotFoundError: No module named 'nosuch'" in said


def test_cases_are_tests_too(ran) -> None:
    _, found = ran
    names = [name for name in found if name.startswith("test_cases")]
    assert len(names) == 5
    assert names[0] == "test_cases[0-float64-padding-B2H3Tq4Tk7d5]"
    assert {found[name] for name in names} == {("passed", "")}


def test_last_failed_and_xdist_run_the_same_tests(ran, theirs: Path) -> None:
    _, found = ran
    done = run_pytest(theirs, "-q", "--lf", "-n", "2", "--junit-xml=again.xml", "tests/test_theirs.py")
    assert done.returncode == 1, done.stdout + done.stderr
    again = outcomes(theirs / "again.xml")
    failed = {name: said for name, (kind, said) in found.items() if kind == "failed"}
    assert {name: said for name, (kind, said) in again.items() if kind == "failed"} == failed
    assert len(again) == len(failed) == 5


def test_collecting_imports_neither_torch_nor_the_subject(theirs: Path) -> None:
    (theirs / "conftest.py").write_text(
        "import sys\n\n\ndef pytest_sessionfinish(session):\n"
        "    found = {'torch', 'kernels', 'hypothesis', 'mhsa.judge.judge'} & set(sys.modules)\n"
        "    assert not found, found\n    assert 'mhsa.judge.decorators' in sys.modules\n"
    )
    done = run_pytest(theirs, "--collect-only", "-q", "-p", "mhsa.judge.plugin", PYTEST_DISABLE_PLUGIN_AUTOLOAD="1")
    (theirs / "conftest.py").unlink()
    assert done.returncode == 0, done.stdout + done.stderr
    quick = [p.id for p in catalogue() if not p.slow]
    lines = [line for line in done.stdout.splitlines() if "::" in line]
    names = [*quick, EVERYTHING]
    assert lines[: len(names)] == [f"tests/test_theirs.py::test_attention[right-{identity}]" for identity in names]
    assert len(lines) == 4 * len(quick) + len(catalogue()) + 5 + 5, "ci asks what quick leaves out"


@pytest.mark.parametrize(
    ("configuration", "words"),
    [
        ("[tool.mhsa]\nprofle = 1\n", "pyproject.toml:2: [tool.mhsa] unknown key 'profle'; did you mean profile?"),
        ("[tool.mhsa\n", "pyproject.toml: Expected ']'"),
        ("[tool.mhsa]\n", "mhsa.verifies() without a subject runs what [tool.mhsa.subjects] in pyproject.toml configures"),
    ],
)
def test_a_wrong_configuration_is_told_when_tests_are_collected(tmp_path: Path, configuration: str, words: str) -> None:
    (tmp_path / "pyproject.toml").write_text(configuration)
    (tmp_path / "test_theirs.py").write_text("import mhsa\n\n\n@mhsa.verifies()\ndef test_attention(check):\n    check()\n")
    done = run_pytest(tmp_path, "-q", "-c", os.devnull, "--rootdir", ".", "-p", "mhsa.judge.plugin", "test_theirs.py",
                      PYTEST_DISABLE_PLUGIN_AUTOLOAD="1")  # fmt: skip
    assert done.returncode == 2
    assert "1 error" in done.stdout
    assert f"ConfigurationError: {words}" in done.stdout.replace(f"{tmp_path}/", "")


def decorated(**given: object):
    @mhsa.verifies("mhsa:MultiHeadAttention", **given)
    def test_attention(check):
        check()

    return [parameter.values[0] for parameter in test_attention.pytestmark[0].args[1]]


def test_what_is_given_goes_to_every_check() -> None:
    checks = decorated(profile="thorough", seed=4, dtypes=("bfloat16",), device="cuda")
    assert {(c.request.profile, c.request.seed, c.request.dtypes, c.request.device) for c in checks} == {
        ("thorough", 4, ("bfloat16",), "cuda")
    }
    assert [c.property for c in checks] == [*(p.id for p in catalogue()), EVERYTHING]
    assert [c.property for c in decorated()] == [*(p.id for p in catalogue() if not p.slow), EVERYTHING]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"profile": "fast"}, r"verifies\(profile='fast'\); must be one of quick, ci, thorough"),
        ({"dtypes": ("float64", "int8")}, r"verifies\(dtypes=\['int8'\]\); must be of float64, float32, bfloat16, float16"),
    ],
)
def test_what_there_is_not_is_refused_with_the_choices(given: dict, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        decorated(**given)


def test_the_test_must_take_what_it_is_given() -> None:
    with pytest.raises(ValueError, match=r"test_it\(other\) must take an argument named check, and call it"):

        @mhsa.verifies("mhsa:MultiHeadAttention")
        def test_it(other):
            pass

    with pytest.raises(ValueError, match=r"test_it\(\) must take an argument named case"):

        @mhsa.cases()
        def test_it():
            pass


def test_nothing_to_verify_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mhsa.judge.decorators.find", lambda folder: None)
    with pytest.raises(ConfigurationError, match="or run `mhsa init`"):
        mhsa.verifies()


RIGHT = Request("r", "mhsa:MultiHeadAttention", dtypes=("float64",))


def test_what_passes_though_expected_to_fail_is_let_pass_unless_strict() -> None:
    expected = replace(RIGHT, expected=(Expected("oracle.*", "why"),))
    judge_inline(expected, "oracle.output_without_mask", strict=False)
    with pytest.raises(pytest.fail.Exception, match="r passes, but was expected to fail"):
        judge_inline(expected, "oracle.output_without_mask", strict=True)


def test_a_failure_that_the_contract_declares_is_an_xfail() -> None:
    with pytest.raises(pytest.xfail.Exception, match="pytorch/issues/41508"):
        judge_inline(Request("t", "torch.nn:MultiheadAttention"), "fully_masked_rows.one_fully_masked_row", strict=True)


def test_what_is_not_judged_is_a_skip_and_fails_under_strict(tmp_path: Path) -> None:
    judge_inline(RIGHT, EVERYTHING, strict=True)
    (tmp_path / "own.py").write_text(
        "import mhsa\n\n\ndef attend(query, key, value, mask=None, bonus=None):\n"
        "    return mhsa.fused_attention(query, key, value, mask) if bonus is None else bonus\n"
    )
    left = Request("f", str(tmp_path / "own.py"), dtypes=("float64",))
    with pytest.raises(pytest.skip.Exception, match=r"^not judged: argument bonus$"):
        judge_inline(left, EVERYTHING, strict=False)
    with pytest.raises(pytest.fail.Exception, match=r"judged\.everything  f\nnot judged: argument bonus; strict = true makes"):
        judge_inline(left, EVERYTHING, strict=True)
    with pytest.raises(pytest.fail.Exception, match=r"cannot be judged: import of nosuch failed"):
        judge_inline(Request("g", "nosuch:thing"), EVERYTHING, strict=False)


def test_torchs_settings_and_the_session_are_as_before() -> None:
    before = torch.get_default_dtype(), torch.is_grad_enabled(), torch.random.get_rng_state()
    judge_inline(replace(RIGHT, label="new"), "oracle.output_under_masks", strict=True)
    after = torch.get_default_dtype(), torch.is_grad_enabled(), torch.random.get_rng_state()
    assert before[:2] == after[:2]
    assert torch.equal(before[2], after[2])


def test_a_test_of_cases_keeps_its_name_its_other_arguments_and_its_marks() -> None:
    @mhsa.cases(count=3, masks=("none",))
    @pytest.mark.usefixtures("tmp_path")
    def test_kernel(tmp_path, case):
        """Its own words."""
        return tmp_path, case

    (mark, mine) = sorted(test_kernel.pytestmark, key=lambda m: m.name)
    assert mine.name == "usefixtures"
    assert test_kernel.__name__ == "test_kernel"
    assert test_kernel.__doc__ == "Its own words."
    names, cases = mark.args
    assert names == "case"
    assert mark.kwargs["ids"][0] == "0-float64-none-B2H3Tq4Tk7d5"
    given, case = test_kernel("a path", case=cases[0])
    assert given == "a path"
    assert isinstance(case, mhsa.Example)
    assert repr(case) == f"<case {cases[0]}>"
