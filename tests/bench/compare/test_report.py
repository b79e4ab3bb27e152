"""How ``mhsa compare`` shows what it found: at 80 columns, on one screen, with every count in its last line."""

import io
from dataclasses import replace

import pytest
from rich.console import Console

from mhsa.bench.compare.attribution.attribute import Attribution, NamedLine
from mhsa.bench.compare.comparison import Comparison
from mhsa.bench.compare.report import print_comparison, sentence
from mhsa.bench.compare.sequential_test import Decision

SLOWER = Decision("slower", 1.15, 1.145, 1.153, 6)
SAME = Decision("not slower", 1.0, 0.99, 1.01, 6)
MACHINE = {"device": "cpu", "cpu": "AMD EPYC 9B14 of a machine with a long name", "cores": 2, "threads": 1,
           "torch": "2.13.0+cpu", "python": "3.11.7", "os": "Linux-6.1.0-x86_64-with-glibc2.36"}  # fmt: skip


def found(wrong: int, slower: int, same: int) -> list[Comparison]:
    words = "output[0, 0, 0]=2.5, but must be 2.4 +- 5.1e-14 (error/bound 5.69e+11); 2 of 2 elements are wrong " * 4
    return [
        *(Comparison(f"attention forward encoder {n} float32", outcome="wrong", reasons={"head": words}) for n in range(wrong)),
        *(Comparison(f"attention training long {n} float32", SLOWER, (7.23e-3, 8.21e-3)) for n in range(slower)),
        *(Comparison(f"attention forward exercise {n} float32", SAME, (1.01e-4, 1.01e-4)) for n in range(same)),
    ]


def screen(comparisons: list[Comparison], width: int) -> list[str]:
    console = Console(file=io.StringIO(), width=width, highlight=False)
    print_comparison(console, comparisons, MACHINE, ["the threshold is 5 % because the machine is busy, which the noise shows"])
    return console.file.getvalue().splitlines()  # type: ignore[attr-defined]


def attributed(number: int) -> Attribution:
    """What five lines with long texts have to say."""
    text, reasons = f"scores = self.function_{number}(" + "argument, " * 30, ("+4 aten::a_long_name_of_an_operator",) * 3
    lines = tuple(
        NamedLine("package/models/attention.py", 100 * number + n, "f", text, 1.0, 0.3, reasons, reaches=(("a", text),) * 3)
        for n in range(5)
    )
    return Attribution("seconds", 1.0, 1.0, lines)


def test_what_makes_the_difference_fits_the_screen_too() -> None:
    comparisons = [replace(c, attribution=attributed(n)) if n < 6 else c for n, c in enumerate(found(0, 12, 30))]
    lines = screen(comparisons, 80)
    assert len(lines) <= 60
    assert max(map(len, lines)) <= 80
    text = "\n".join(lines)
    assert text.count("package/models/attention.py:") == 3
    assert "and 27 lines more, with less of it" in text
    assert "slower: 12 of 42 benchmarks; not slower: 30" in lines[-1]


def test_the_last_line_hides_no_count() -> None:
    assert sentence(found(12, 3, 3)) == "wrong: 12 of 18 benchmarks; slower: 3; not slower: 3"
    assert sentence(found(0, 6, 0)) == "slower: 6 of 6 benchmarks"


@pytest.mark.parametrize("width", [80, 100, 120])
@pytest.mark.parametrize("counts", [(12, 3, 3), (0, 6, 0), (1, 20, 80)])
def test_it_fits_the_screen_and_every_name_is_whole(width: int, counts: tuple[int, int, int]) -> None:
    lines = screen(found(*counts), width)
    assert len(lines) <= 60
    assert max(map(len, lines)) <= width
    text = " ".join(" ".join(lines).split())
    for words in ("attention training", "long 5 float32" if counts[1] > 5 else "long 2 float32", "1.145 to 1.153", "8.21 ms"):
        assert words in text
    assert lines[-1].strip() == sentence(found(*counts))


def test_what_is_left_out_is_the_best_and_it_says_so() -> None:
    text = "\n".join(screen(found(1, 20, 80), 120))
    assert text.count("float32 ") >= 40
    assert all(f"attention training long {n} float32" in text for n in range(20))
    assert "more, none of them worse" in text
