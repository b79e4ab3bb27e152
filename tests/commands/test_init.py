"""``mhsa init``: what it writes is accepted by what reads it, what exists is kept, and the commands it writes work."""

import importlib.util
import json
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

from mhsa.commands.cli import main
from mhsa.commands.try_subjects import look
from mhsa.records.configuration import read
from mhsa.records.defaults import PROFILES
from mhsa.records.distribution import Origin
from mhsa.records.options import TIME_LIMITS
from mhsa.records.results import SubjectResult

CLASS = "class {}:\n    def forward(self, x):\n        return x\n"
ALL = ("--ci", "--bench")
FILES = [
    "pyproject.toml",
    "tests/test_attention_properties.py",
    ".github/workflows/attention.yml",
    "asv.conf.json",
    "benchmarks/__init__.py",
    "benchmarks/attention.py",
    "benchmarks/test_speed.py",
]
MODULE = """
import torch
from torch import nn


class Attention(nn.Module):
    def __init__(self, num_heads: int, d_model: int) -> None:
        super().__init__()
        if d_model % num_heads:
            raise ValueError(f"d_model={d_model} is no multiple of num_heads={num_heads}")
        self.num_heads = num_heads
        self.q_proj, self.k_proj, self.v_proj, self.out_proj = (nn.Linear(d_model, d_model) for _ in range(4))

    def forward(self, query, key, value, mask=None):
        pairs = ((self.q_proj, query), (self.k_proj, key), (self.v_proj, value))
        q, k, v = (project(x).unflatten(-1, (self.num_heads, -1)).transpose(1, 2) for project, x in pairs)
        scores = q @ k.transpose(-2, -1) * q.size(-1) ** -0.5
        if mask is not None:
            scores = scores.masked_fill(~mask.unsqueeze(1), -torch.inf)
        weights = scores.softmax(dim=-1).nan_to_num(0.0)
        return self.out_proj((weights @ v).transpose(1, 2).flatten(2))
"""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("mhsa.commands.init.look", lambda specs: [SubjectResult(spec) for spec in specs])  # it takes seconds
    return tmp_path


@pytest.fixture
def looking(here: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("mhsa.commands.init.look", look)
    monkeypatch.setattr("signal.signal", lambda *_: None)
    return here


def put(path: str, text: str = "") -> None:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_text(text)


def everything(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """Run, and return the one message with which it leaves."""
    with pytest.raises(SystemExit) as left:
        main(["init", *ALL, *arguments])
    assert left.value.code == 2
    message = capsys.readouterr().err
    assert message.startswith("mhsa: ")
    return message


def subject() -> str:
    return tomllib.loads(Path("pyproject.toml").read_text())["tool"]["mhsa"]["subjects"]["Attention"]["subject"]


def uncommented(text: str) -> str:
    return re.sub(r"(?m)^( *)#(?! )", r"\1", text)


def test_it_writes_everything_and_says_what_comes_next(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    put("model.py", CLASS.format("Attention"))
    assert main(["init", *ALL]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[:8] == ["found model.py:Attention", *(f"wrote {path}" for path in FILES)]
    assert sorted(everything(here)) == sorted([*FILES, "model.py"])
    commands = ["mhsa verify", "pytest tests/test_attention_properties.py", "mhsa bench", "mhsa history", "mhsa compare HEAD~1"]
    assert [line[6:].startswith(command) for line, command in zip(lines[-5:], commands, strict=True)] == [True] * 5
    assert len({re.match(r".{6}\S+( \S+)* {2,}", line).end() for line in lines[-5:]}) == 1, "the lines are not aligned"
    assert max(len(line) for line in lines if "installed here from" not in line) <= 80  # a path is as long as it is


def test_without_options_it_is_configuration_and_test_file_and_each_option_adds_its_own(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    put("model.py", CLASS.format("Attention"))
    assert main(["init"]) == 0
    out = capsys.readouterr().out
    assert sorted(everything(here)) == sorted([*FILES[:2], "model.py"])
    assert re.findall(r"(?m)^(?:next| {4})  (mhsa init --\w+) ", out) == ["mhsa init --ci", "mhsa init --bench"]
    assert main(["init", "--ci"]) == 0
    out = capsys.readouterr().out
    assert f"wrote {FILES[2]}\nkept pyproject.toml: [tool.mhsa] exists\n" in out
    assert "nothing was needed" not in out
    assert sorted(everything(here)) == sorted([*FILES[:3], "model.py"])
    assert main(["init", "--bench"]) == 0
    assert sorted(everything(here)) == sorted([*FILES, "model.py"])


def test_several_subjects_are_configured_and_a_second_run_adds_what_is_new(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("a.py", "b.py", "c.py"):
        put(name, CLASS.format("Attention"))
    assert main(["init", "a.py:Attention", "b.py:Attention", "a.py:Attention"]) == 0
    first = Path("pyproject.toml").read_text()
    assert [(r.label, r.subject) for r in read(Path("pyproject.toml")).requests] == [
        ("Attention", "a.py:Attention"), ("Attention-2", "b.py:Attention"),
    ]  # fmt: skip
    capsys.readouterr()
    assert main(["init", "b.py:Attention", "c.py:Attention"]) == 0
    assert Path("pyproject.toml").read_text() == f'{first}\n[tool.mhsa.subjects.Attention-3]\nsubject = "c.py:Attention"\n'
    assert capsys.readouterr().out.startswith("added to pyproject.toml\nkept tests/")
    assert [r.label for r in read(Path("pyproject.toml")).requests] == ["Attention", "Attention-2", "Attention-3"]


def test_a_dry_run_shows_all_of_it_and_writes_nothing(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    put("model.py", CLASS.format("Attention"))
    before = everything(here)
    assert main(["init", *ALL, "--dry-run"]) == 0
    shown = capsys.readouterr().out
    assert everything(here) == before
    assert "\nnext" not in shown
    assert main(["init", *ALL]) == 0
    for path in FILES:
        assert f"would write {path}:\n" in shown
        assert all(f"    {line}\n" in shown for line in Path(path).read_text().splitlines() if line)
    put("other.py", CLASS.format("Attention"))
    capsys.readouterr()
    assert main(["init", "other.py", "--dry-run"]) == 0
    added = '\n    [tool.mhsa.subjects.other]\n    subject = "other.py"\n'
    assert f"would add to pyproject.toml:\n{added}" in capsys.readouterr().out


def test_subjects_are_imported_first_and_nothing_is_written_where_one_cannot_be(
    looking: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    put("right.py", MODULE)
    put("wrong.py", "import nosuchthing\n" + MODULE)
    before = everything(looking)
    message = refused(capsys, "right.py", "wrong.py")
    assert "No module named 'nosuchthing'" in message
    assert "right.py" not in message
    assert message.endswith("; nothing was written\n")
    assert everything(looking) == before


def test_a_question_is_told_with_the_table_that_its_answer_belongs_to(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    put("model.py", CLASS.format("Attention"))
    asked = SubjectResult("model.py:Attention", reason='which mask? declare contract = { mask = "blocked" }', question=True)
    monkeypatch.setattr("mhsa.commands.init.look", lambda specs: [asked])
    before = everything(here)
    message = refused(capsys)
    assert 'mhsa: model.py:Attention: which mask? declare contract = { mask = "blocked" }; nothing was written. ' in message
    assert message.endswith('\n\n[tool.mhsa.subjects.Attention]\nsubject = "model.py:Attention"\n')
    assert everything(here) == before


def test_a_second_run_changes_nothing(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    put("model.py", CLASS.format("Attention"))
    main(["init", *ALL])
    before = everything(here)
    capsys.readouterr()
    for arguments in ([], ["model.py:Attention"], ["./model.py:Attention"], ["Attention"]):
        assert main(["init", *ALL, *arguments]) == 0
        assert everything(here) == before
        out = capsys.readouterr().out
        assert [line.split(":")[0] for line in out.splitlines() if line][:5] == [
            "kept pyproject.toml", *(f"kept {p}" for p in FILES[1:4]), "kept benchmarks",
        ]  # fmt: skip
        assert "by hand" not in out
        assert "nothing was needed: everything is there already\n" in out


def test_the_configuration_is_accepted_and_so_are_its_examples(here: Path) -> None:
    put("model.py", CLASS.format("Attention"))
    main(["init", *ALL])
    path = Path("pyproject.toml")
    text = path.read_text()
    configuration = read(path)
    (request,) = configuration.requests
    assert configuration.strict
    assert (request.label, request.subject, request.profile, request.dtypes) == ("Attention", "model.py:Attention", "quick", ())
    path.write_text(uncommented(text))
    configuration = read(path)
    encoder, first = configuration.requests
    assert configuration.timeout == 600
    assert configuration.memory == 8 * 2**30
    assert configuration.database
    assert (first.profile, first.device, first.arguments) == ("ci", "cuda", {"bias": False})
    assert first.contract["fully_masked_row"] == "zeros"
    assert first.expected[0].id == "masks.*"
    assert encoder.build
    assert encoder.submodule
    assert text.index("[tool.mhsa.subjects.encoder]") < text.index("[tool.mhsa.subjects.Attention]"), "what is added comes last"
    assert ", ".join(f"{name} {count}" for name, count in PROFILES.items()) in text
    assert [float(x) for x in re.findall(r"by default (\d+), (\d+) or (\d+)", text)[0]] == list(TIME_LIMITS.values())


@pytest.mark.parametrize(
    "text", ["a = 1", '[project]\r\nname = "x"\r\nversion = "1"\r\n', "[tool.ruff]\nline-length = 80 # ü\n"]
)
def test_what_stands_in_pyproject_stays_byte_for_byte(here: Path, text: str) -> None:
    put("model.py", CLASS.format("Attention"))
    Path("pyproject.toml").write_bytes(text.encode())
    assert main(["init", *ALL]) == 0
    after = Path("pyproject.toml").read_bytes()
    assert after.startswith(text.encode())
    assert subject() == "model.py:Attention"
    assert (b"\r\n" in after) == ("\r\n" in text) == (after.count(b"\r\n") == after.count(b"\n"))


def test_what_was_kept_is_to_be_added_by_hand(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    put("model.py", CLASS.format("Attention"))
    put("pyproject.toml", '[tool.mhsa]\nsubjects = { Attention = "other.py" }\n')
    for path in FILES[1:4]:
        put(path, "mine\n")
    before = everything(here)
    assert main(["init", *ALL, "model.py:Attention"]) == 0
    out = capsys.readouterr().out
    assert everything(here).items() >= before.items()
    assert set(everything(here)) == set(before), "half of asv's files were written"
    assert "wrote" not in out
    assert "kept pyproject.toml: [tool.mhsa] exists" in out
    assert '[tool.mhsa.subjects.Attention-2]\nsubject = "model.py:Attention"\n' in out
    for path in FILES[1:4]:
        assert f"kept {path}: it exists" in out
    assert "@mhsa.verifies()" in out
    assert "run: mhsa verify --strict --junit mhsa.xml --html mhsa.html" in out
    assert "class Attention(Suite):\n    requests" in out
    assert "#thorough" not in out


def test_benchmarks_of_the_users_own_get_no_half_of_ours(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    put("model.py", CLASS.format("Attention"))
    put("benchmarks/mine.py")
    assert main(["init", *ALL]) == 0
    out = capsys.readouterr().out
    assert "kept benchmarks: it exists" in out
    assert not Path("asv.conf.json").exists()
    assert '"environment_type": "existing"' in out


def test_a_table_without_subjects_gets_the_candidate(here: Path) -> None:
    put("model.py", CLASS.format("Attention"))
    put("pyproject.toml", '[tool.mhsa]\nprofile = "ci"\n')
    assert main(["init", *ALL]) == 0
    assert subject() == "model.py:Attention"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[tool", "pyproject.toml: Expected"),
        ('[tool.mhsa]\nprofle = "ci"\n', "did you mean profile?"),
        ("tool = { ruff = 1 }\n", "add this by hand:"),
        ("tool = 3\n", "pyproject.toml"),
    ],
)
def test_a_pyproject_that_cannot_be_continued_is_left_alone(
    here: Path, capsys: pytest.CaptureFixture[str], text: str, words: str
) -> None:
    put("model.py", CLASS.format("Attention"))
    put("pyproject.toml", text)
    before = everything(here)
    message = refused(capsys)
    assert words in message
    assert "nothing was written" in message
    assert everything(here) == before


def test_a_file_where_a_folder_is_needed(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    put("model.py", CLASS.format("Attention"))
    put(".github", "mine")
    assert refused(capsys) == (
        "mhsa: .github/workflows/attention.yml cannot be written: .github is not a folder; nothing was written\n"
    )
    assert not Path("pyproject.toml").exists()
    assert Path(".github").read_text() == "mine"
    Path(".github").unlink()
    assert main(["init", *ALL]) == 0


def test_a_reader_that_goes_away_leaves_no_half_of_it(here: Path) -> None:
    put("model.py", MODULE)
    command = f"{shlex.quote(sys.executable)} -m mhsa init --ci --bench model.py | true"
    subprocess.run(["bash", "-c", command], check=True, capture_output=True)
    assert sorted(everything(here)) == sorted([*FILES, "model.py"])


def test_a_folder_that_is_read_only(here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    put("model.py", CLASS.format("Attention"))
    opened = Path.open

    def refusing(path: Path, mode: str = "r", *more: object, **named: object):
        if mode[0] in "ax" and not path.is_absolute():
            raise PermissionError(13, "Permission denied", str(path))  # a test that runs as root cannot have it for real
        return opened(path, mode, *more, **named)

    monkeypatch.setattr(Path, "open", refusing)
    assert refused(capsys) == "mhsa: pyproject.toml cannot be written: Permission denied; nothing was written\n"


def test_a_folder_below_the_repositorys_root_is_told_where_workflows_belong(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (here / ".git").mkdir()
    put("parts/ml/model.py", CLASS.format("Attention"))
    monkeypatch.chdir(here / "parts" / "ml")
    assert main(["init", *ALL]) == 0
    assert "working-directory: parts/ml" in capsys.readouterr().out


def test_neither_torch_nor_the_users_code_is_imported_by_the_command_itself(here: Path) -> None:
    put("src/pkg/__init__.py")
    put("src/pkg/layers.py", MODULE)
    code = (
        "import sys; from mhsa.commands.cli import main; sys.exit(main(['init']) or bool({'torch', 'pkg'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert subject() == "pkg.layers:Attention"


@pytest.mark.parametrize(
    ("path", "command"),
    [
        ("setup.py", "python -m pip install -e ."),
        ("requirements.txt", "python -m pip install -r requirements.txt"),
        ("README", "# python -m pip install ...: what your modules import, apart from torch"),
    ],
)
def test_the_workflow_is_yaml_with_its_nightly_part_too(
    here: Path, monkeypatch: pytest.MonkeyPatch, path: str, command: str
) -> None:
    put("model.py", CLASS.format("Attention"))
    put(path)
    monkeypatch.setattr("mhsa.commands.init.origin", lambda: Origin("1.0", folder="/somewhere/mhsa"))
    main(["init", *ALL])
    text = Path(FILES[2]).read_text()
    plain, nightly = yaml.safe_load(text), yaml.safe_load(uncommented(text))
    assert plain[True] == {"push": None, "pull_request": None}  # YAML 1.1 reads "on" so
    assert nightly[True]["schedule"] == [{"cron": "17 3 * * *"}]
    assert list(plain["jobs"]) == ["attention", "speed"]
    assert list(nightly["jobs"]) == ["attention", "speed", "thorough"]
    speed = nightly["jobs"].pop("speed")
    assert speed["if"] == "github.event_name == 'pull_request'"
    assert speed["steps"][0]["with"] == {"fetch-depth": 0}, "what is merged into must be there, and all messages since then"
    assert speed["permissions"] == {"contents": "read", "pull-requests": "write"}
    assert plain["permissions"] == {"contents": "read"}, "no other job may write"
    assert command in speed["steps"][2]["run"].splitlines()
    assert speed["steps"][-2]["run"] == 'mhsa compare HEAD^1 --allow-undecided --markdown "$RUNNER_TEMP/speed.md"'
    assert "uses" not in speed["steps"][-1], "the comment is written by what GitHub's machines have: nobody else's action"
    for job in nightly["jobs"].values():
        steps = job["steps"]
        assert [s["uses"] for s in steps[:2]] == ["actions/checkout@v4", "actions/setup-python@v5"]
        assert command in steps[2]["run"].splitlines()
        assert "pip install torch --index-url https://download.pytorch.org/whl/cpu" in steps[2]["run"]
        assert steps[3]["name"] == "Install mhsa"
        assert steps[3]["run"].startswith('if [ -z "$MHSA_INSTALL" ]; then\n  echo "::error::MHSA_INSTALL is empty')
        assert steps[-1]["if"] == "always()"
        assert steps[-1]["uses"] == "actions/upload-artifact@v4"
    caches = [s["with"]["path"] for s in nightly["jobs"]["thorough"]["steps"] if "cache" in s.get("uses", "")]
    assert caches == [".mhsa/examples"] * 2


@pytest.mark.parametrize(
    ("origin", "requirement"),
    [
        (Origin("1.0"), "mhsa-verify==1.0"),
        (Origin("1.0", url="git+https://example.org/a/mhsa@abc"), "mhsa-verify @ git+https://example.org/a/mhsa@abc"),
    ],
)
def test_the_workflow_installs_the_mhsa_that_wrote_it(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, origin: Origin, requirement: str
) -> None:
    put("model.py", CLASS.format("Attention"))
    monkeypatch.setattr("mhsa.commands.init.origin", lambda: origin)
    main(["init", "--ci"])
    assert "to be filled in" not in capsys.readouterr().out
    nightly = yaml.safe_load(uncommented(Path(FILES[2]).read_text()))
    assert nightly["env"]["MHSA_INSTALL"] == requirement
    installs = [job["steps"][3]["run"].strip() for job in nightly["jobs"].values()]
    assert installs == [f'python -m pip install "$MHSA_INSTALL"{more}' for more in (" pytest", "", "")]


def test_steps_to_be_added_by_hand_install_the_same(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    put("model.py", CLASS.format("Attention"))
    put(FILES[2], "mine\n")
    monkeypatch.setattr("mhsa.commands.init.origin", lambda: Origin("1.0"))
    main(["init", "--ci"])
    _, _, steps = capsys.readouterr().out.partition("in the steps of a job in .github/workflows/attention.yml:\n\n")
    install, verify, tests = yaml.safe_load(steps.partition("\n\nnext")[0])
    assert install["env"] == {"MHSA_INSTALL": "mhsa-verify==1.0"}
    assert install["run"].strip() == 'python -m pip install "$MHSA_INSTALL" pytest'
    assert verify["run"].startswith("mhsa verify")
    assert tests["run"].startswith("pytest ")


def test_asv_is_configured_and_a_wrong_module_is_never_timed(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put("model.py", MODULE)
    put("wrong.py", MODULE.replace("** -0.5", "** -0.6"))
    main(["init", *ALL, "model.py:Attention"])
    with Path("pyproject.toml").open("a") as file:
        file.write('[tool.mhsa.subjects]\nwrong = "wrong.py"\nfixed = { subject = "model.py:Attention", arguments = ')
        file.write("{ num_heads = 2, d_model = 6 } }\n")
    configuration = json.loads(re.sub(r"(?m)^\s*//.*$", "", Path("asv.conf.json").read_text()))
    assert (configuration["environment_type"], configuration["benchmark_dir"]) == ("existing", "benchmarks")
    spec = importlib.util.spec_from_file_location("benchmarks_of_a_user", Path("benchmarks/attention.py").resolve())
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    names, passes, shapes, dtypes, _ = module.Attention.params
    assert names == ["Attention", "wrong", "fixed", "fused", "torch", "baseline"]
    for what, value in (("IMPLEMENTATIONS", "Attention, wrong"), ("SHAPES", shapes[0]), ("DEVICES", "cpu"), ("BUDGET", "0.01")):
        monkeypatch.setenv(f"MHSA_BENCH_{what}", value)
    benchmark = module.Attention()
    figures = benchmark.setup_cache()
    for p in passes:
        params = ("Attention", p, shapes[0], dtypes[0], "cpu")
        benchmark.setup(figures, *params)
        assert benchmark.track_seconds(figures, *params) > 0
        assert benchmark.track_peak_memory(figures, *params) > 0
        with pytest.raises(AssertionError, match=r"failed: wrong result: output.*but must be"):
            benchmark.setup(figures, "wrong", *params[1:])
        with pytest.raises(NotImplementedError, match="n/a"):
            benchmark.setup(figures, "fixed", *params[1:])
