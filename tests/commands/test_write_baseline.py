"""``--write-baseline`` continues the user's pyproject.toml in its own form, and leaves alone what stands there."""

import tomllib
from pathlib import Path

import pytest

from mhsa.commands.subject_tables.pin_reading import pin
from mhsa.commands.subject_tables.write_baseline import write_baseline
from mhsa.records.configuration import Configuration, read
from mhsa.records.request import Request
from mhsa.records.results import PropertyResult, SubjectResult
from tests.helpers.declared_subject import DECLARED, KEPT, ONE, TWO, configure


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "400")  # no line is folded
    return tmp_path


def baseline(text: str | None, *, label: str = "mine", typed: str = "m:A", failing: tuple[str, ...] = (ONE, TWO)) -> str:
    """Write the baseline of a subject into pyproject.toml, and return what stands there then."""
    path = Path("pyproject.toml").resolve()
    if text is not None:
        path.write_bytes(text.encode())
    configuration = read(path) if text is not None and "mhsa" in text else Configuration()
    request = next((r for r in configuration.requests if r.label == label), Request(typed, typed))
    found = [PropertyResult(identity, "fail", reason="1, but must be 2; of 3") for identity in failing]
    done = write_baseline(configuration, [request], [SubjectResult(request.spec, properties=found)])
    (name,) = {r.label for r in read(path).requests if r.expected}
    assert done == [f"baseline    {len(found)} failures of {name} are expected from now on: {path}; run mhsa verify {name}"]
    return path.read_bytes().decode()


NEW = f"""expected_failures = [
    {{property = "{ONE}", reason = "failed when mhsa was adopted: 1, but must be 2"}},
    {{property = "{TWO}", reason = "failed when mhsa was adopted: 1, but must be 2"}},
]"""


def test_a_baseline_makes_a_file(here: Path) -> None:
    assert baseline(None, typed="model.py:Attention") == (
        f'[tool.mhsa.subjects.Attention]\nsubject = "model.py:Attention"\n{NEW}\n'
    )


@pytest.mark.parametrize(
    ("typed", "name"),
    [("model.py", "model"), ("a/b/model.py:X", "X"), ("pkg.layers:Outer.Inner", "Inner"), ("../up.py", "up")],
)
def test_a_subject_that_is_not_configured_is_called_after_what_was_typed(here: Path, typed: str, name: str) -> None:
    baseline(None, typed=typed)
    (request,) = read(here / "pyproject.toml").requests
    assert (request.label, request.subject) == (name, typed)


def test_a_name_that_is_taken_gets_a_number(here: Path) -> None:
    baseline('[tool.mhsa.subjects]\nmodel = "other:M"\n', typed="model.py", label="")
    assert [(r.label, r.spec) for r in read(here / "pyproject.toml").requests] == [
        ("model", "other:M"),
        ("model-2", "model.py"),
    ]


def test_a_path_is_written_as_it_is_seen_from_the_file(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    configure("[tool.mhsa]\nseed = 1\n")
    (here / "src").mkdir()
    monkeypatch.chdir(here / "src")
    request = Request("layers.py:A", "layers.py:A")
    result = SubjectResult("layers.py:A", properties=[PropertyResult(ONE, "fail")])
    write_baseline(read(here / "pyproject.toml"), [request], [result])
    (written,) = read(here / "pyproject.toml").requests
    assert written.subject == "src/layers.py:A"


def test_what_stands_in_the_file_stays_with_its_comments_and_in_its_order(here: Path) -> None:
    after = baseline(KEPT)
    assert after == KEPT.replace('mine = "m:A"', f'mine = {{subject = "m:A", {NEW}}}')
    assert [r.label for r in read(here / "pyproject.toml").requests] == ["zeta", "mine", "alpha"]


@pytest.mark.parametrize(
    "text",
    [
        DECLARED,
        f"{DECLARED}\n[tool.other]\nx = 1\n",
        '[tool.mhsa.subjects]\nmine = { subject = "m:A" }\n',
        'tool = { mhsa = { subjects = { mine = "m:A" } } }\n',
        '[tool]\nmhsa.subjects.mine = "m:A"\n',
        '[tool]\nmhsa.subjects.mine.subject = "m:A"\n',
        '[tool.mhsa]\nseed = 1\n[project]\nname = "x"\n[tool.mhsa.subjects.mine]\nsubject = "m:A"\n',
        DECLARED + 'expected_failures = [{ property = "weights.*", reason = "why" }]  # known\n',
        DECLARED + 'expected_failures = [\n  # the first\n  { property = "weights.*", reason = "why" },  # known\n]\n',
        DECLARED + '[[tool.mhsa.subjects.mine.expected_failures]]\nproperty = "weights.*"\nreason = "why"\n[tool.x]\ny = 1\n',
    ],
)
def test_every_form_of_a_table_is_continued(here: Path, text: str) -> None:
    before = tomllib.loads(text)
    after = baseline(text)
    (request,) = read(here / "pyproject.toml").requests
    assert [e.id for e in request.expected] == ["weights.*"] * ("weights" in text) + [ONE, TWO]
    for comment in ("# the first", "# known"):
        assert (comment in after) == (comment in text)
    found = tomllib.loads(after)
    for tables in (before, found):
        tables["tool"]["mhsa"].pop("subjects")
    assert found == before


EXAMPLES = """#profile = "ci"  # what stands here goes before what stands above
#expected_failures = [
  #{ property = "masks.*", reason = "the kernel takes no masks yet" },
#]
"""


def test_commented_examples_stay_at_the_end_of_the_table(here: Path) -> None:
    other = "\n[tool.other]\nx = 1\n"
    assert baseline(f"{DECLARED}{EXAMPLES}{other}") == f"{DECLARED}{NEW}\n{EXAMPLES}{other}"
    request = Request("mine", "m:A", folder=str(here))
    pin(read(here / "pyproject.toml"), request, {"mask": "allowed"})
    text = (here / "pyproject.toml").read_text()
    assert text == f'{DECLARED}{NEW}\ncontract = {{mask = "allowed"}}\n{EXAMPLES}{other}'


def test_line_ends_stay(here: Path) -> None:
    after = baseline('[project]\r\nname = "x"\r\n', typed="m:A")
    assert after.startswith('[project]\r\nname = "x"\r\n')
    assert after.count("\n") == after.count("\r\n") > 5


def test_a_configured_subject_that_is_named_by_its_file_is_not_declared_twice(here: Path) -> None:
    text = f'[tool.mhsa.subjects.mine]\nsubject = "model.py"\nexpected_failures = [{{ property = "{ONE}", reason = "why" }}]\n'
    baseline(text, typed="model.py", label="")
    (request,) = read(here / "pyproject.toml").requests
    assert [e.id for e in request.expected] == [ONE, TWO]
