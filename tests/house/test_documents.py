"""Every example of README.md and docs/*.md is run as it stands there, and every number that can be derived is."""

import ast
import dataclasses
import importlib.util
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

import mhsa
from mhsa.bench.compare.report import HEAD
from mhsa.bugs.mutants.registry import mutants, right
from mhsa.commands.cli import _parser
from mhsa.introspect import source_constants as literals
from mhsa.judge import side_effects as tampering
from mhsa.records.case import BIASES, DATA, LAYOUTS, MASKS
from mhsa.records.catalogue import FAMILIES, catalogue
from mhsa.records.configuration import read
from mhsa.records.contract import Contract
from mhsa.records.defaults import PROFILES
from mhsa.records.options import TIME_LIMITS
from mhsa.records.power_record import recorded
from mhsa.records.pyproject.known_keys import EFFORT, EXPECTED, SUBJECT, TOP
from mhsa.run import child, endings
from tests.helpers.places import ROOT

PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
HOLDS = """
import torch
from torch import nn


class Attention(nn.Module):
    def __init__(self, embed_dim, num_heads, qkv_bias=False):
        super().__init__()
        if embed_dim % num_heads:
            raise ValueError("the width is no multiple of the number of heads")
        self.embed_dim, self.num_heads = embed_dim, num_heads
        self.q, self.k, self.v = (nn.Linear(embed_dim, embed_dim, bias=qkv_bias) for _ in range(3))
        self.o = nn.Linear(embed_dim, embed_dim)

    def forward(self, query, key, value, mask=None):
        q, k, v = (f(x).unflatten(-1, (self.num_heads, -1)).transpose(1, 2)
                   for f, x in ((self.q, query), (self.k, key), (self.v, value)))
        return self.o(attend(q, k, v, None if mask is None else mask[:, None]).transpose(1, 2).flatten(2))


def attend(q, k, v, mask=None):
    scores = q @ k.mT / q.size(-1) ** 0.5
    if mask is None:
        return scores.softmax(-1) @ v
    weights = scores.masked_fill(~mask, -torch.inf).softmax(-1)
    return weights.masked_fill(~mask.any(-1, keepdim=True), 0.0) @ v
"""
MODEL = """
from torch import nn

from mypackage.attention import Attention


class Layer(nn.Module):
    def __init__(self):
        super().__init__()
        self.self_attn = Attention(12, 3)


def build():
    model = nn.Module()
    model.encoder = nn.Module()
    model.encoder.layers = nn.ModuleList([Layer(), Layer()])
    return model
"""


def blocks(page: Path, language: str) -> list[str]:
    """The code blocks of a document in a language; "" for samples of output."""
    fenced = re.findall(r"^```(\w*)\n(.*?)^```$", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    return [text for name, text in fenced if name == language]


def commands() -> Iterator[tuple[str, list[str]]]:
    """Every command of ours that a document shows: indented, after a prompt, or among the words."""
    for page in PAGES:
        text = page.read_text(encoding="utf-8").replace("\\\n", " ")
        lines = re.findall(r"^(?: {4,}|\$ )((?:mhsa|.*&& mhsa) .*)$", text, re.MULTILINE)
        for line in [*lines, *re.findall(r"`(mhsa [^`\n]*)`", text)]:
            for part in re.split(r"&&|\|\||;", line):
                words = shlex.split(part, comments=True)
                if words[:1] == ["mhsa"]:
                    yield f"{page.name}: {part.strip()}", words[1:]


def package(folder: Path, attention: str = HOLDS) -> None:
    """The user's project of which the documents speak."""
    (folder / "mypackage").mkdir(parents=True)
    (folder / "mypackage" / "__init__.py").write_text("")
    (folder / "mypackage" / "attention.py").write_text(attention)
    (folder / "mypackage" / "model.py").write_text(MODEL)


def run_pytest(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    words = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-rA", *arguments]
    return subprocess.run(words, cwd=folder, capture_output=True, text=True, check=False, timeout=300)


COMMANDS = dict(commands())


@pytest.mark.parametrize("shown", COMMANDS)
def test_the_command_line_takes_every_command(shown: str) -> None:
    words = COMMANDS[shown]
    assert words
    if (
        words != ["--help"] and words[0] not in ("bench", "compare", "history", "properties", "power") and len(words) == 1
    ):  # its name alone
        words = [words[0], "FILE"]
    if words[-1] == "--help":
        with pytest.raises(SystemExit) as ended:
            _parser().parse_args(words)
        assert ended.value.code == 0
    else:
        _parser().parse_args(words)


def test_options_in_the_table_of_the_readme_are_options_of_verify() -> None:
    table = (ROOT / "docs" / "verify.md").read_text().partition("| option of `mhsa verify` |")[2].partition("\n\n")[0]
    verify = _parser()._subparsers._group_actions[0].choices["verify"]
    options = re.findall(r"(?<![\w-])--?[a-zA-Z][a-z-]*", " ".join(row.split("|")[1] for row in table.splitlines()[2:]))
    assert len(options) > 15
    assert set(options) <= set(verify._option_string_actions)


def test_the_adapter_of_the_documents_holds(tmp_path: Path, mhsa) -> None:
    page = ROOT / "docs" / "adapters.md"
    model, adapter = blocks(page, "python")
    (tmp_path / "model.py").write_text(model)
    (tmp_path / "check_model.py").write_text(adapter)
    assert "verified with `mhsa verify check_model.py`" in page.read_text()
    done = mhsa("verify", "check_model.py", "--strict", cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "called by the user's adapter" in done.stdout
    assert re.search(r"holds: \d+ properties", done.stdout)
    assert "FAILED" not in done.stdout


def test_commands_of_the_first_page(tmp_path: Path, mhsa) -> None:
    """Names as the README gives them, several in one run."""
    for name in ("path/file.py", "package/module.py", "a.py", "b.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(HOLDS.replace("def attend", "attr = Attention\n\n\ndef attend"))
    shown = [v[1:] for k, v in COMMANDS.items() if k.startswith("README.md: mhsa verify ") and len(v) > 2]
    names = [name for words in shown for name in words]
    assert names == ["path/file.py", "package.module:attr", "a.py", "b.py:Attention", "torch.nn:MultiheadAttention"]
    done = mhsa("verify", *names, "-k", "output_without_mask", cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert all(name in done.stdout for name in names)


def test_the_documented_configuration_declares_a_failure(tmp_path: Path, mhsa) -> None:
    """The whole of docs/configuration.md, for an attention that ignores padding, as it says."""
    page = ROOT / "docs" / "configuration.md"
    toml, *_ = blocks(page, "toml")  # the others show parts
    package(tmp_path, HOLDS.replace("None if mask is None else mask[:, None]", "None"))
    (tmp_path / "pyproject.toml").write_text(toml)
    for table in (TOP, SUBJECT, EXPECTED, EFFORT):
        assert all(re.search(rf"\b{key}\b", toml) for key in table), "every key is shown"
    assert [r.label for r in read(tmp_path / "pyproject.toml").requests] == ["short", "encoder", "layer0"]
    done = mhsa("verify", "encoder", "-v", "-k", "masking_is_deleting", cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "; 1 fails as expected" in done.stdout
    assert "the kernel ignores padding https://example.org/issues/12" in done.stdout
    done = mhsa("verify", "-k", "output_without_mask", "--profile", "quick", cwd=tmp_path)
    assert done.returncode == 2, "strict: short leaves an option at its default, and does not accept that"
    assert "not judged: constructor argument qkv_bias" in done.stdout
    assert all(label in done.stdout for label in ("short", "encoder", "layer0"))


def test_the_documented_tests_and_objects(tmp_path: Path) -> None:
    """The configuration, the test file and the objects of docs/pytest.md, in two folders: objects need no configuration."""
    (toml,) = blocks(ROOT / "docs" / "pytest.md", "toml")
    named, objects = blocks(ROOT / "docs" / "pytest.md", "python")
    (short,) = blocks(ROOT / "README.md", "python")
    assert short.splitlines()[-1] == objects.splitlines()[-1], "the README shows the same test, with fewer words"
    package(tmp_path / "configured")
    (tmp_path / "configured" / "pyproject.toml").write_text(toml)
    kernel = "    from mypackage.attention import attend\n\n    output = through(attend, case)\n"
    through = """

def through(attend, case):
    heads = [
        torch.nn.functional.linear(x, case.parameters[f"{role}.weight"], case.parameters[f"{role}.bias"])
        .unflatten(-1, (case.head, -1)).transpose(1, 2)
        for role, x in (("query", case.query), ("key", case.key), ("value", case.value))
    ]
    mixed = attend(*heads, case.mask[:, None]).transpose(1, 2).flatten(2)
    return torch.nn.functional.linear(mixed, case.parameters["out.weight"], case.parameters["out.bias"])
"""
    assert named.count("    ...\n") == 1
    (tmp_path / "configured" / "test_named.py").write_text("import torch\n" + named.replace("    ...\n", kernel) + through)
    done = run_pytest(
        tmp_path / "configured", "-k", "masking_is_deleting or masked_weights_are_zero or my_kernel", "test_named.py"
    )
    assert done.returncode == 0, done.stdout
    assert "PASSED test_named.py::test_attention[encoder-masks.masking_is_deleting]" in done.stdout
    assert "21 passed, 1 skipped" in done.stdout, "the kernel's twenty cases; no weights are given, so one is not applicable"

    package(tmp_path / "objects")
    few = "mhsa.verify(Attention, properties=('oracle.*', 'construction.*'))"  # the whole takes as long as all else here
    assert "mhsa.verify(Attention)" in objects
    (tmp_path / "objects" / "test_objects.py").write_text(objects.replace("mhsa.verify(Attention)", few))
    done = run_pytest(tmp_path / "objects", "-k", "output_without_mask or indivisible", "test_objects.py")
    assert done.returncode == 0, done.stdout
    assert "PASSED test_objects.py::test_objects[Attention-oracle.output_without_mask]" in done.stdout
    assert "PASSED test_objects.py::test_objects[Attention-2-oracle.output_without_mask]" in done.stdout


def test_the_reference_as_its_page_calls_it() -> None:
    reference, declared = blocks(ROOT / "docs" / "reference.md", "python")
    x = torch.randn(2, 3, 512)
    space = {"query": x, "key": x, "value": x, "mask": torch.ones(2, 3, 3, dtype=torch.bool)}
    exec(reference, space)
    assert space["out"].shape == x.shape
    assert space["attention"].attn.shape == (2, 8, 3, 3)
    assert isinstance(space["fast"], mhsa.MultiHeadAttention)
    exec(declared, space)
    assert space["everything"](x, x, x).shape == x.shape
    assert len(space["everything"].formula.words) == 8  # what the page combines


def test_the_mutant_that_contributors_copy_is_one() -> None:
    (shown,) = blocks(ROOT / "CONTRIBUTING.md", "python")
    node = ast.parse(shown).body[0]
    source = ast.parse((ROOT / "mhsa" / "bugs" / "mutants" / "scale.py").read_text())
    (real,) = (n for n in source.body if isinstance(n, ast.ClassDef) and n.name == node.name)
    assert ast.dump(node) == ast.dump(real)


def test_every_field_of_a_contract_and_every_word_of_a_case_is_explained() -> None:
    rows = {row.split("`")[1]: row for row in (ROOT / "docs" / "adapters.md").read_text().splitlines() if row.startswith("| `")}
    for field in dataclasses.fields(Contract):
        if (name := field.name) != "reason":
            default = f'`"{field.default}"`' if field.default is not None else "`None`"
            assert default in rows[name]
    table = (ROOT / "docs" / "cases.md").read_text()
    assert all(f"`{word}`" in table for word in (*DATA, *MASKS, *BIASES, *LAYOUTS))


def samples():
    spec = importlib.util.spec_from_file_location("docs_samples", ROOT / "docs" / "samples.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # where its dataclass looks for itself
    spec.loader.exec_module(module)
    return module


def test_the_first_screens_figures_are_those_of_the_command() -> None:
    found = samples()
    for page in found.PAGES:
        text = page.read_text()
        assert [s.command for s in found.samples(text)] == ["verify model.py"]
        assert found.check(text) == []


def test_a_stale_sample_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    found = samples()
    monkeypatch.setattr(found.Sample, "run", lambda self, *more: "violated: 4 of 9 properties fail, 3.0 s\n")
    marker = "<!-- sample: mhsa verify model.py; model.py is a.py; words -->\n"
    page = f"{marker}```\n$ mhsa verify model.py\n  4 of 9 properties fail, 12.0 s\n```\n"
    assert found.check(page) == []
    assert "the sample ends with" in found.check(page.replace("4 of 9", "4 of 8"))[0]
    new = f"{marker}```\n$ mhsa verify model.py\nviolated: 4 of 9 properties fail, 3.0 s\n```\n"
    assert found.written(page) == new


def test_the_sample_of_the_bench_has_the_words_of_the_command(tmp_path: Path, mhsa) -> None:
    """Headings and names; the figures are of another machine, at lengths that take longer. So narrow, no wider table fits."""
    (tmp_path / "model.py").write_text(HOLDS)
    sample = next(block for block in blocks(ROOT / "docs" / "benchmarks.md", "") if block.startswith("$ mhsa bench"))
    done = mhsa(
        "bench", "model.py", "--lengths", "16,32,64", "--pass", "forward", "--budget", "0.02", cwd=tmp_path, COLUMNS="70"
    )
    assert done.returncode == 0, done.stdout + done.stderr
    for line in (
        "forward, float32, cpu: time, its ratio to the baseline, peak memory\n",
        "time  ratio          95 %  peak memory\n",
        "growth with the sequence length T\n",
    ):
        assert line in sample
        assert " ".join(line.split()) in " ".join(done.stdout.split())
    for name in (
        "device cpu  cpu",
        "    model.py ",
        "    reference ",
        "    fused ",
        "    torch ",
        "    baseline ",
        "  fused: time as T^",
    ):
        assert name in sample
        assert name in done.stdout


def test_the_sample_of_a_comparison_has_its_words() -> None:
    (sample,) = (block for block in blocks(ROOT / "docs" / "compare.md", "") if block.lstrip().startswith("benchmark "))
    assert re.split(r"\s{2,}", sample.splitlines()[0].strip()) == list(HEAD)
    assert sample.splitlines()[-1].strip() == "slower: 6 of 6 benchmarks"


def thorough_cases() -> int:
    """Cases of the longest thorough run of each subject, to the nearest thousand."""
    rows = re.findall(
        r"^\| (\S+) \| thorough \|.*?\| ([\d,]+) \| holds", (ROOT / "docs" / "alarms.md").read_text(), re.MULTILINE
    )
    most: dict[str, int] = {}
    for name, cases in rows:
        most[name] = max(most.get(name, 0), int(cases.replace(",", "")))
    return round(sum(most.values()), -3)


WORDS = {2: "two", 3: "three", 4: "four"}
P, F, M = len(catalogue()), len(FAMILIES), len(mutants())
QUICK, CI, THOROUGH = (f"{s:g}" for s in TIME_LIMITS.values())
FOREIGN = len(list((ROOT / "tests" / "corpus" / "foreign").glob("*.py")))
NUMBERS = [
    ("README.md", f"[properties](docs/properties.md), {P} in {F} families"),
    ("README.md", f"Power: {M} known bugs"),
    ("README.md", f"Diagnosis: {FOREIGN} wrong modules in foreign styles"),
    ("README.md", f"none in {thorough_cases():,} thorough cases"),
    ("docs/verify.md", "up to {}, {} or {} cases per property".format(*PROFILES.values())),
    ("CHANGELOG.md", f"{P} properties in {F} families"),
    (
        "CHANGELOG.md",
        f"{M} mutants (`mhsa/bugs/mutants/`): the reference with one bug each, and {len(right())} variants that are right",
    ),
    ("docs/power.md", f"- mutants killed: {M} of {M} (100 %)"),
    ("docs/power.md", f"- false alarms: 0 on {len(right())} right variants"),
    # What ci alone runs; tests/bugs/test_mutants.py has a mutant for each, which quick finds by another property.
    (
        "docs/power.md",
        f"- properties: {len(recorded().order)}, of which 5 kill nothing: gradients.second_derivatives, "
        "half_formats.later_keys_stay_hidden, mask_forms.each_head_has_its_own_mask, "
        "transforms.compiled, transforms.exported",
    ),
    ("docs/isolation.md", f"({QUICK} in quick, {CI} in ci, {THOROUGH} in thorough)"),
    ("docs/isolation.md", f"ended after {child._ENDING:g} s"),
    ("docs/isolation.md", f"more than {tampering._FLOOD / 2**20:g} MiB in one property"),
    ("docs/isolation.md", f"after {WORDS[endings.DEATHS]} it is given up"),
    ("docs/cases.md", f"the integers from {literals._SMALLEST} to {literals._LARGEST}"),
    ("docs/gate.md", "| nothing | 20 | 200 | 0 |"),
    ("README.md", "0 of 200 comparisons of identical code called slower, 38 of 40 slow-downs of 3 %"),
    ("docs/gate.md", "| slower by 3% | 4 | 40 | 38 |"),
]


@pytest.mark.parametrize(("page", "words"), NUMBERS)
def test_a_number_in_a_document_is_the_one_that_is_derived(page: str, words: str) -> None:
    text = " ".join((ROOT / page).read_text(encoding="utf-8").split())
    assert words in text


def test_every_number_of_properties_and_mutants_is_the_one_that_there_is() -> None:
    """Wherever a page counts all of them, not only in the sentences above."""
    for page in (ROOT / "README.md", ROOT / "CHANGELOG.md", ROOT / "CONTRIBUTING.md"):
        text = " ".join(page.read_text(encoding="utf-8").split())
        assert {int(n) for n in re.findall(r"(\d+) (?:mutants|known bugs)\b", text)} <= {M}
        assert {int(n) for n in re.findall(r"(\d+) (?:properties )?in \d+ families", text)} <= {P}
