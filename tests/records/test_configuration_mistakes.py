"""Every mistake in ``[tool.mhsa]`` is one message, with its line and what may have been meant."""

from pathlib import Path

import pytest

from mhsa.records.configuration import ConfigurationError, find, read
from tests.helpers.configuration_file import GOOD, written


def refused(path: Path) -> str:
    with pytest.raises(ConfigurationError) as raised:
        read(path)
    message = str(raised.value)
    assert message.startswith(f"{path}:")
    assert "\n" not in message
    return message.removeprefix(f"{path}:")


def test_a_file_that_cannot_be_read_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written(tmp_path, GOOD)

    def forbidden(*_: object, **__: object) -> str:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_text", forbidden)
    assert find(tmp_path) == path
    assert refused(path) == " Permission denied"


SUBJECT = '[tool.mhsa.subjects.a]\nsubject = "m:A"\n'


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ('[tool.mhsa]\nprofle = "ci"\n', 2, "[tool.mhsa] unknown key 'profle'; did you mean profile?"),
        ("[tool.mhsa]\nzzz = 1\n", 2, "unknown key 'zzz'; known are profile, seed, dtypes, device, timeout, memory, strict"),
        ('[tool.mhsa]\n\nprofile = "quik"\n', 3, "profile = 'quik'; must be one of quick, ci, thorough; did you mean quick?"),
        ('[tool.mhsa]\nprofile = "x"\n', 2, "profile = 'x'; must be one of quick, ci, thorough"),
        ("[tool.mhsa]\nseed = -1\n", 2, "seed = -1; must be a whole number of at least 0"),
        ("[tool.mhsa]\nseed = true\n", 2, "seed = True; must be a whole number"),
        ('[tool.mhsa]\ndtypes = ["float46"]\n', 2, "float16; did you mean float64?"),
        ("[tool.mhsa]\ndtypes = []\n", 2, "dtypes = []; must be a list of float64"),
        ('[tool.mhsa]\ndtypes = "float64"\n', 2, "dtypes = 'float64'; must be a list of"),
        ("[tool.mhsa]\ntimeout = 0\n", 2, "timeout = 0; must be a number of seconds above 0"),
        ("[tool.mhsa]\ntimeout = nan\n", 2, "must be a number of seconds above 0"),
        ('[tool.mhsa]\nmemory = "much"\n', 2, """memory = 'much'; must be a size such as "8 GiB\""""),
        ("[tool.mhsa]\nmemory = 8\n", 2, "memory = 8; must be a size"),
        ('[tool.mhsa]\n# strict = "yes"\nstrict = "yes"\n', 3, "strict = 'yes'; must be true or false"),
        ('[tool.mhsa]\ncases = ""\n', 2, "cases = ''; must be a text"),
        ('[tool.mhsa]\ncases = "a\\u0000b"\n', 2, "must be a text of one line"),
        ('[tool.mhsa]\ncases = "a\\u2028b"\n', 2, "must be a text of one line"),
        ("[tool.other]\nstrict = 1\n[tool]\nmhsa.strict = 1\n", 4, "strict = 1; must be true or false"),
        ("mhsa = 1\n[tool]\nmhsa = 3\n", 3, "tool.mhsa is 3; must be a table"),
        ("[tool.mhsa]\nsubjects = 3\n", 2, "subjects = 3; must be a table"),
        ('\n[tool.mhsa.subjcts]\na = "m:A"\n', 2, "unknown key 'subjcts'; did you mean subjects?"),
        ('\n[tool.mhsa.subjcts.a]\nsubject = "m:A"\n', 2, "unknown key 'subjcts'; did you mean subjects?"),
        ("[tool.mhsa.subjects]\na = 3\n", 2, "[tool.mhsa.subjects] a is 3; must be a table, or the subject as a text"),
        ('[tool.mhsa.subjects]\na = ""\n', 2, "subject = ''; must be a text"),
        ("[tool.mhsa.bench]\nshapes = []\n", 2, "[tool.mhsa.bench] unknown key 'shapes'; known are calls"),
        ("[tool.mhsa.bench]\ncalls = 3\n", 2, "calls = 3; must be a list of tables"),
        ('[tool.mhsa.bench]\ncalls = [\n  { shape = "wide" },\n  { shape = "wider" },\n]\n', 4, "did you mean 'wide'?"),
        ('[tool.mhsa.bench]\ncalls = [{ shape = "wide", dtype = "int8" }]\n', 2, "dtype = 'int8'; must be one of float64"),
        ('[tool.mhsa.bench]\ncalls = [{ dtype = "float32" }]\n', 2, "[tool.mhsa.bench.calls] a call needs a shape"),
        ('[tool.mhsa.bench]\ncalls = [{ shape = "wide", often = 1 }]\n', 2, "unknown key 'often'; known are causal"),
        ('[tool.mhsa.subjects]\n"" = "m:A"\n', 1, "a subject is called ''; must be a text of one line"),
        ('[tool.mhsa.subjects.a]\nsubjekt = "m:A"\n', 2, "[tool.mhsa.subjects.a] unknown key 'subjekt'; did you mean subject?"),
        ('[tool.mhsa.subjects."a.b"]\nsubject = "m:A"\ndtype = 1\n', 3, "unknown key 'dtype'; did you mean dtypes?"),
        ('[tool.mhsa.subjects.a]\n[tool.mhsa.subjects.b]\nbuild = "m:b"\nsubmodule = "x"\n', 1, "needs either subject = "),
        ('[tool.mhsa.subjects.a]\nsubject = "m:A"\nbuild = "m:b"\n', 3, "[tool.mhsa.subjects.a] needs either subject = "),
        ('[tool.mhsa.subjects.a]\nbuild = "m:b"\n', 2, 'it needs submodule = "encoder.layers.0.self_attn", say'),
        ('[tool.mhsa.subjects]\nb = { subject = "m:B", dtypes = ["float64"] }\na = { subject = "m:A", dtypes = ["int8"] }\n', 3,
         "dtypes = ['int8']; must be a list of"),
        (SUBJECT + "arguments = 3\n", 3, "arguments = 3; must be a table"),
        (SUBJECT + "arguments = { x = nan }\n", 3, "must be a table of texts, finite numbers"),
        (SUBJECT + "arguments = { x = [1, { y = 1979-05-27 }] }\n", 3, "must be a table of texts, finite numbers"),
        (SUBJECT + "contract = { fully_masked_rows = 'zeros' }\n", 3, "did you mean fully_masked_row?"),
        (SUBJECT + "contract = { mask = 'allowed', fully_masked_row = 'zero' }\n", 3, "did you mean zeros?"),
        (SUBJECT + "[tool.mhsa.subjects.a.contract]\nmask = 'allowed'\nfully_masked_row = 'zero'\n", 5, "did you mean zeros?"),
        (SUBJECT + "[tool.mhsa.subjects.a.contract]\nfully_masked_row = 'nan'\n", 4, "needs a reason: say why NaN is accepted"),
        (SUBJECT + "contract = { reason = 3 }\n", 3, "reason = 3; must be a text"),
        (SUBJECT + 'expected_failures = ["masks.*"]\n', 3, "must be a list of tables"),
        (SUBJECT + 'expected_failures = [\n  { property = "masks.*" },\n  { property = "a", reson = "b" },\n]\n', 5,
         "[tool.mhsa.subjects.a.expected_failures] unknown key 'reson'; did you mean reason?"),
        (SUBJECT + 2 * '[[tool.mhsa.subjects.a.expected_failures]]\nproperty = "*"\n' + "reason = 5\n", 7, "must be a text"),
        (SUBJECT + '[[tool.mhsa.subjects.a.expected_failures]]\nproperty="*"\n[[tool.mhsa.subjects.a.expected_failures]]\n', 5,
         "an expected failure needs the id of a property"),
        (SUBJECT + 'expected_failures = [\n  { property = "masks.*" },\n  { property = "masks.masking_is_deletin" },\n]\n', 5,
         "property = 'masks.masking_is_deletin'; no property has that id; did you mean masks.masking_is_deleting?"),
        (SUBJECT + 'expected_failures = [{ property = "masking_is_deletng" }]\n', 3, "you mean masks.masking_is_deleting?"),
        (SUBJECT + '[[tool.mhsa.subjects.a.expected_failures]]\nproperty = "zzz"\n', 4, "`mhsa properties` lists them"),
        (SUBJECT + 'expected_failures = [{ property = "mask.*" }]\n', 3,
         "property = 'mask.*'; pattern fits no property; did you mean masks.*?"),
    ],
)  # fmt: skip
def test_a_mistake_is_told_with_its_line_and_what_may_have_been_meant(tmp_path: Path, text: str, line: int, words: str) -> None:
    message = refused(written(tmp_path, text))
    assert message.startswith(f"{line}: [tool.mhsa")
    assert words in message


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[tool.mhsa]\nstrict = perhaps\n", "(at line 2, column 10)"),
        ("[tool.mhsa]\nseed = 1\nseed = 2\n", "Cannot overwrite a value (at line 3, column 9)"),
        ("tool = 3\n", "tool is 3; must be a table"),
        (f"[tool.mhsa]\nseed = {'9' * 5000}\n", "Exceeds the limit"),
        ("[tool.mhsa]\nseed = " + "[" * 5000, "nested too deeply"),
    ],
)
def test_what_is_no_toml_is_told(tmp_path: Path, text: str, words: str) -> None:
    assert words in refused(written(tmp_path, text))


def test_bytes_that_are_no_text_are_told(tmp_path: Path) -> None:
    path = tmp_path / "pyproject.toml"
    path.write_bytes(b'[tool.mhsa]\ncases = "\xff"\n')
    assert find(tmp_path) == path
    assert refused(path) == " not UTF-8: invalid start byte"


def test_a_long_value_makes_no_long_message(tmp_path: Path) -> None:
    for text in (f"[tool.mhsa]\n{'x' * 10000} = 1\n", f"{SUBJECT}contract = {{ fully_masked_row = '{'x' * 10000}' }}\n"):
        assert len(refused(written(tmp_path, text))) < 600
