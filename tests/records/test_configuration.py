"""``[tool.mhsa]``: what it configures, what the command line changes of it, and the message for every mistake in it."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mhsa.commands.cli import main
from mhsa.records.configuration import Configuration, find, read
from mhsa.records.options import Options
from mhsa.records.pyproject.memory_size import size
from mhsa.records.request import Expected
from mhsa.records.results import PropertyResult
from mhsa.run.child import Child
from tests.helpers.configuration_file import GOOD, written

LAYERS = """
import torch
from torch import nn


class Attention(nn.Module):
    def __init__(self, num_heads, d_model, bias=True):
        super().__init__()
        self.num_heads, self.d_model = num_heads, d_model
        self.q, self.k, self.v, self.out_proj = (nn.Linear(d_model, d_model, bias=bias) for _ in range(4))

    def forward(self, query, key, value, mask=None):
        pairs = ((self.q, query), (self.k, key), (self.v, value))
        q, k, v = (project(x).unflatten(-1, (self.num_heads, -1)).transpose(1, 2) for project, x in pairs)
        scores = q @ k.transpose(-2, -1) * q.size(-1) ** -0.5
        if mask is not None:
            scores = scores.masked_fill(~mask.unsqueeze(1), -torch.inf)
        weights = scores.softmax(dim=-1).nan_to_num(0.0)
        return self.out_proj((weights @ v).transpose(1, 2).flatten(2))


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.attention = Attention(2, 8)


def build():
    return nn.Sequential(Block(), Block())
"""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "400")  # no line is folded
    return tmp_path


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Options]:
    """A function that runs the command line and returns what the process that judges is started with; everything passes."""
    seen: list[Options] = []

    def passing(child: Child) -> Iterator[None]:
        seen.append(child.options)
        for n in range(1, len(child.requests) + 1):
            child.add(n, PropertyResult("oracle.output_without_mask", "pass", cases=1))
        child.finished = True
        yield

    monkeypatch.setattr(Child, "run", passing)
    monkeypatch.setattr("signal.signal", lambda *_: None)

    def run(*arguments: str) -> Options:
        seen.clear()
        assert main(["verify", "--no-diagnosis", *arguments]) in (0, 1)  # 1 where warnings are violations
        return seen[0]

    return run


def test_everything_that_can_be_configured_is_read(tmp_path: Path) -> None:
    path = written(tmp_path, GOOD)
    found = read(path)
    assert (found.path, found.strict, found.timeout, found.memory) == (path, True, 90, 3 * 2**29)
    assert (found.cases, found.database) == ("found", "examples")
    short, biasless, layer0 = found.requests
    assert {r.folder for r in found.requests} == {str(tmp_path)}

    assert (short.label, short.subject, short.build) == ("short", "models.layers:Attention", "")
    assert (short.profile, short.seed, short.dtypes, short.device) == ("ci", 7, ("float32",), "cpu")
    assert (short.arguments, short.contract, short.expected) == ({}, {}, ())

    assert (biasless.label, biasless.spec) == ("biasless", "src/attention.py:Attention")
    assert (biasless.profile, biasless.seed, biasless.device) == ("quick", 1, "cuda:0")
    assert biasless.dtypes == ("float64", "bfloat16")
    assert biasless.arguments == {"bias": False, "num_heads": 3, "d_model": 6}
    assert biasless.contract == {"fully_masked_row": "zeros", "shape_mismatch": "raises"}
    assert biasless.expected == (
        Expected("masks.masking_is_deleting", "padding is ignored", "https://example.org/12"),
        Expected("gradients.*"),
    )

    assert (layer0.build, layer0.submodule, layer0.subject) == ("models.encoder:build", "layers.0.attention", "")
    assert layer0.spec == "models.encoder:build"
    assert layer0.expected == (Expected("oracle.output_under_masks", "one"), Expected("weights.*", "two"))


def test_names_and_paths_may_be_written_in_any_script(tmp_path: Path) -> None:
    text = (
        '[tool.mhsa]\ncases = "mes cas\\u00a0/été"\n[tool.mhsa.subjects]\n"注意 力" = "dossier é\\u00a0/modèle.py:Attention"\n'
    )
    found = read(written(tmp_path, text))
    assert found.cases == "mes cas\u00a0/été"
    assert [(r.label, r.spec) for r in found.requests] == [("注意 力", "dossier é\u00a0/modèle.py:Attention")]


def test_tables_in_one_line_and_keys_with_dots_mean_the_same(tmp_path: Path) -> None:
    text = (
        '[tool]\nmhsa.subjects.a = { subject = "m:A", expected_failures = [{ property = "*", reason = "y" }] }\nmhsa.seed = 3\n'
    )
    (request,) = read(written(tmp_path, text)).requests
    assert (request.label, request.spec, request.seed, request.expected) == ("a", "m:A", 3, (Expected("*", "y"),))


@pytest.mark.parametrize("text", ["", "[tool.mhsa]\n", "[project]\nname = 'x'\n", "[tool]\nruff = 1\n"])
def test_nothing_has_to_be_configured(tmp_path: Path, text: str) -> None:
    path = written(tmp_path, text)
    assert read(path) == Configuration(path)
    assert read(None) == Configuration()


@pytest.mark.parametrize(
    ("text", "bytes_"),
    [
        ("8 GiB", 2**33), ("8gib", 2**33), ("500MB", 500 * 10**6), ("1024", 1024), ("0.5 KiB", 512), ("1 B", 1),
        ("0.5 B", None), ("0 GB", None), ("-1 GB", None), ("many", None), ("8 GiBs", None), ("1e9", None), ("9" * 400, None),
        ("9999999 TB", None),
    ],
)  # fmt: skip
def test_sizes(text: str, bytes_: int | None) -> None:
    assert size(text) == bytes_


@pytest.mark.parametrize(
    "text",
    [
        "[tool.mhsa]\n",
        "[tool.mhsa.subjects]\n",
        "[[tool.mhsa.subjects.a.expected_failures]]\n",
        "[ tool . mhsa ]\n",
        '[tool."mhsa"]\n',
        "[tool]\nmhsa.strict = true\n",
        "tool.mhsa.strict = true\n",
        "tool = { mhsa = { strict = true } }\n",
        "[tool]\nmhsa = 3\n",
        "[tool.mhsa\nstrict = true\n",
        "[tool.mhsa]\nstrict = perhaps\n",
        "[tool]\nmhsa.strict = perhaps\n",
        "tool.mhsa.strict = perhaps\n",
    ],
)
def test_a_file_that_configures_or_tries_to_is_found(tmp_path: Path, text: str) -> None:
    path = written(tmp_path, text)
    below = tmp_path / "a" / "b"
    below.mkdir(parents=True)
    (below.parent / "pyproject.toml").write_text('[project]\nname = "inner"\n')
    assert find(below) == path.resolve()


@pytest.mark.parametrize(
    "text",
    [
        "",
        '[project]\ndependencies = ["mhsa"]\n',
        "# [tool.mhsa]\n",
        'text = """\n[tool.mhsa]\n"""\n',
        "[tool.mhsast]\n",
        '[project]\ndependencies = ["mhsa"\n[tool.ruff]\n',
    ],
)
def test_a_file_that_only_mentions_us_is_passed_over(tmp_path: Path, text: str) -> None:
    written(tmp_path, text)
    assert find(tmp_path) is None


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[tool]\nmhsa.strict = 1\n", "pyproject.toml:2: [tool.mhsa] strict = 1; must be true or false"),
        ("[tool.mhsa]\nprofle = 1\n", "pyproject.toml:2: [tool.mhsa] unknown key 'profle'; did you mean profile?"),
        ("[tool.mhsa\nseed = 1\n", "pyproject.toml: Expected ']' at the end of a table declaration (at line 1, column 11)"),
    ],
)
def test_the_command_line_leaves_with_2_and_one_message(
    here: Path, capsys: pytest.CaptureFixture[str], text: str, words: str
) -> None:
    path = written(here, text)
    with pytest.raises(SystemExit) as left:
        main(["verify"])
    assert left.value.code == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err == f"mhsa: {path.parent}/{words}\n"


def test_without_a_subject_all_that_is_configured_is_verified(here: Path, asked: Callable[..., Options]) -> None:
    written(here, GOOD)
    options = asked()
    assert options.requests == read(here / "pyproject.toml").requests
    assert (options.timeout, options.memory, options.database) == (90, 3 * 2**29, str(here / "examples"))
    assert [r.label for r in asked("layer0").requests] == ["layer0"]
    assert [r.label for r in asked("layer0", "short", "layer0", "other.py").requests] == ["layer0", "short", "other.py"]


def test_the_command_line_goes_before_the_configuration(here: Path, asked: Callable[..., Options]) -> None:
    written(here, GOOD)
    options = asked("--profile", "quick", "--seed", "3", "--dtype", "float16", "--device", "cuda:1", "--timeout", "5",
                    "--memory", "2 GB", "--database", "mine")  # fmt: skip
    assert {(r.profile, r.seed, r.dtypes, r.device) for r in options.requests} == {("quick", 3, ("float16",), "cuda:1")}
    assert [r.expected for r in options.requests] == [r.expected for r in read(here / "pyproject.toml").requests]
    assert (options.timeout, options.memory, options.database) == (5, 2 * 10**9, "mine")


def test_another_file_can_be_named(here: Path, asked: Callable[..., Options], capsys: pytest.CaptureFixture[str]) -> None:
    written(here, GOOD)
    (here / "other.toml").write_text('[tool.mhsa.subjects]\nmine = "m:A"\n')
    assert [r.label for r in asked("--config", "other.toml").requests] == ["mine"]
    with pytest.raises(SystemExit) as left:
        main(["verify", "--config", "none.toml"])
    assert left.value.code == 2
    assert "--config none.toml: there is no such file" in capsys.readouterr().err


def test_a_name_that_is_not_configured_is_told_with_the_nearest(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    written(here, GOOD)
    with pytest.raises(SystemExit) as left:
        main(["verify", "layr0"])
    assert left.value.code == 2
    assert capsys.readouterr().err == (
        "mhsa: 'layr0' is neither a configured subject (short, biasless, layer0) nor package.module:attr or path/file.py; "
        "did you mean layer0?\n"
    )


def test_thorough_draws_a_seed_unless_one_is_given(here: Path, asked: Callable[..., Options]) -> None:
    (here / "pyproject.toml").write_text('[tool.mhsa]\nprofile = "thorough"\n[tool.mhsa.subjects]\na = "m:A"\n')
    drawn = {asked().requests[0].seed for _ in range(3)}
    assert len(drawn) == 3
    assert {asked("--seed", "5").requests[0].seed for _ in range(2)} == {5}
    (here / "pyproject.toml").write_text('[tool.mhsa]\nprofile = "thorough"\nseed = 9\n[tool.mhsa.subjects]\na = "m:A"\n')
    assert asked().requests[0].seed == 9


def test_subjects_in_all_their_forms_are_judged_from_a_folder_below(mhsa, tmp_path: Path) -> None:
    (tmp_path / "src" / "models").mkdir(parents=True)
    (tmp_path / "src" / "models" / "__init__.py").write_text("")
    (tmp_path / "src" / "models" / "layers.py").write_text(LAYERS)
    (tmp_path / "deep" / "down").mkdir(parents=True)
    written(
        tmp_path,
        '[tool]\nmhsa.seed = 4\n[tool.mhsa.subjects]\nshort = "models.layers:Attention"\n'
        "[tool.mhsa.subjects.one_size]\n"
        'subject = "src/models/layers.py:Attention"\narguments = { num_heads = 3, d_model = 6, bias = false }\n'
        'dtypes = ["float64"]\ncontract = { fully_masked_row = "finite" }\n'
        '[tool.mhsa.subjects.inner]\nbuild = "models.layers:build"\nsubmodule = "1.attention"\n'
        '[tool.mhsa.subjects.nothing]\nbuild = "models.layers:build"\nsubmodule = "1.attentoin"\n',
    )
    done = mhsa("verify", "-k", "oracle.output_without_mask", "--json", "o.json", cwd=tmp_path / "deep" / "down")
    assert done.returncode == 2, done.stdout
    assert "did you mean 1.attention" in done.stdout
    data = json.loads((tmp_path / "deep" / "down" / "o.json").read_text())
    assert data["environment"]["seed"] == 4
    subjects = {s["label"]: s for s in data["subjects"]}
    assert {label: s["verdict"] for label, s in subjects.items()} == {
        "short": "holds", "one_size": "holds", "inner": "holds", "nothing": "unjudged",
    }  # fmt: skip
    cases = {label: s["properties"][0]["cases"] for label, s in subjects.items() if s["properties"]}
    assert cases == {"short": 24, "one_size": 24, "inner": 24}
    assert set(subjects["one_size"]["properties"][0]["worst_by_dtype"]) == {"float64"}
    assert "some finite output" in subjects["one_size"]["understood"]["empty rows"]
    assert "has zero weights" in subjects["short"]["understood"]["empty rows"]
