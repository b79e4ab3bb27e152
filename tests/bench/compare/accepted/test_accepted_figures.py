"""What is accepted: in the file and in a message the same figures, and nothing without a reason."""

from pathlib import Path

import pytest

from mhsa.bench.compare.accepted.acceptance import Acceptance, allowance_of, fits
from mhsa.bench.compare.accepted.figures import Figures, parsed, together
from mhsa.bench.compare.accepted.file import NAME, entries, keep
from mhsa.bench.compare.accepted.trailers import accepted_in, line
from mhsa.bench.git.repository import Message
from mhsa.records.errors import UsageError

IDS = ("att forward exercise float32", "att training exercise float32")


@pytest.mark.parametrize(
    ("text", "figures"),
    [
        ("1.15x", Figures(1.15)),
        (" 1.05x , +15 operators,+4096 peak", Figures(1.05, {"operators": 15, "peak": 4096})),
        ("+2 kernels", Figures(1.0, {"kernels": 2})),
        ("15%", None),
        ("1.15", None),
        ("0.9x", None),
        ("1x", None),
        ("1.1x, 1.2x", None),
        ("+2 somethings", None),
        ("1.15x and more", None),
        ("", None),
    ],
)
def test_figures_are_read_or_refused(text: str, figures: Figures | None) -> None:
    assert parsed(text) == figures
    assert figures is None or parsed(str(figures)) == figures, "as it is written, it is read"


def test_several_allow_one_after_the_other() -> None:
    both = together([Figures(1.1, {"operators": 3}), Figures(1.2, {"operators": 4, "peak": 1})])
    assert (both.ratio, both.more) == (pytest.approx(1.32), {"operators": 7, "peak": 1})
    assert together([]) == Figures()


def test_an_acceptance_is_about_the_benchmarks_that_it_names() -> None:
    one = Acceptance("r", {IDS[0]: Figures(1.1)}, "", "")
    every = Acceptance("s", {"att * float32": Figures(1.2)}, "", "")
    allowance = allowance_of(IDS[0], [one, every])
    assert allowance is not None
    assert (allowance.figures.ratio, allowance.by) == (pytest.approx(1.32), (one, every))
    assert allowance_of(IDS[1], [one]) is None
    assert fits("att *", IDS[0])
    assert not fits("att", IDS[0])
    assert not fits("att ?orward exercise float3[2]", IDS[0]), "only * stands for anything"


# --- In a commit's message ------------------------------------------------------------------------------------------------


def said(text: str) -> list[Acceptance]:
    return accepted_in([Message("0123456789abcdef", "2026-11-30", text)])


def test_a_line_of_a_message() -> None:
    figures = Figures(1.15, {"operators": 15})
    (found,) = said(f"float64\n\n{line(IDS[0], figures, 'long rows keep their sum')}\n")
    assert (found.reason, found.figures, found.date) == ("long rows keep their sum", {IDS[0]: figures}, "2026-11-30")
    assert (found.where, found.commit) == ("the message of 0123456789", "0123456789abcdef")


def test_a_squashed_message_holds_it_in_its_middle_and_a_long_line_goes_on() -> None:
    text = (
        f"All of it (#12)\n\n* one\n\nMhsa-accept: {IDS[0]}: 1.1x:\n  first\n\tsecond\nmhsa-accept: b c: 1.2x: third\n\n* two\n"
    )
    assert [(a.reason, *a.figures) for a in said(text)] == [("first second", IDS[0]), ("third", "b c")]
    assert said("a word on Mhsa-accept: that is none\n") == []


def test_the_name_of_a_subject_may_hold_colons() -> None:
    (found,) = said("x\n\nMhsa-accept: model.py:Attention forward exercise float32: 1.1x: because: so")
    assert (list(found.figures), found.reason) == (["model.py:Attention forward exercise float32"], "because: so")


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (f"{IDS[0]}: 1.15x", "without a reason; write why behind it: Mhsa-accept: BENCHMARK: 1.15x: REASON"),
        (f"{IDS[0]}: 1.15x:  ", "without a reason"),
        (f"{IDS[0]}: because", "is not understood; write Mhsa-accept: BENCHMARK: 1.15x: REASON"),
        (f"{IDS[0]}: 0.5x: because", "is not understood"),
        ("", "is not understood"),
    ],
)
def test_a_line_that_says_too_little_is_an_error_that_says_what_to_write(value: str, words: str) -> None:
    with pytest.raises(UsageError) as error:
        said(f"x\n\nMhsa-accept: {value}\n")
    assert words in str(error.value)
    assert "the message of 0123456789" in str(error.value)


# --- In the file ------------------------------------------------------------------------------------------------------------

ONE = Acceptance(
    'why "so"\\', {IDS[0]: Figures(1.15, {"peak": 1}), IDS[1]: Figures(1.2)}, "2026-11-30", NAME, "b" * 40, "c" * 40
)
OTHER = Acceptance("later", {IDS[0]: Figures(1.05)}, "2026-12-01", NAME)


def test_what_is_kept_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / NAME
    keep(path, ONE, {IDS[0]: "1 ms to 2 ms"})
    assert entries(path.read_text(), NAME) == [ONE]
    assert path.read_text().startswith("# Slow-downs that are known and meant")
    before = path.read_text()
    keep(path, OTHER, {})
    assert path.read_text().startswith(before), "what is there stays as it is"
    assert entries(path.read_text(), NAME) == [ONE, OTHER]


def test_line_ends_and_a_missing_last_one_are_kept(tmp_path: Path) -> None:
    path = tmp_path / NAME
    path.write_bytes(b"# mine\r\n# no end")
    keep(path, ONE, {})
    assert path.read_bytes().count(b"\n") == path.read_bytes().count(b"\r\n") > 5
    assert entries(path.read_bytes().decode(), NAME) == [ONE]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('[[accepted]]\nfigures = { a = "1.1x" }\n', "accepted slow-down 1 has no reason; say why it is meant"),
        ('[[accepted]]\nreason = "  "\nfigures = { a = "1.1x" }\n', "has no reason"),
        ('[[accepted]]\nreason = "r"\n', "says of no benchmark how much is accepted; write\n\n[[accepted]]"),
        ('[[accepted]]\nreason = "r"\nfigures = { a = "much" }\n', "a = 'much' is not understood"),
        ('[[accepted]]\nreason = "r"\nfigures = { a = 1.1 }\n', "a = 1.1 is not understood"),
        ("accepted = 1\n", "is no list of tables"),
        ("accepted = [1]\n", "accepted slow-down 1 is no table"),
        ("[[accepted\n", f"{NAME}: "),
    ],
)
def test_a_file_that_says_too_little_is_refused_and_left_as_it_is(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(UsageError) as error:
        entries(text, NAME)
    assert words in str(error.value)
    path = tmp_path / NAME
    path.write_text(text)
    with pytest.raises(UsageError):
        keep(path, ONE, {})
    assert path.read_text() == text
