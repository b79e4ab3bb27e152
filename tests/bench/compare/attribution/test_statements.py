"""Lines belong to statements, and a statement keeps its key however it is folded, commented or moved."""

from pathlib import Path

from mhsa.bench.compare.attribution.matching import match
from mhsa.bench.compare.attribution.statement_costs import place_of
from mhsa.bench.compare.attribution.statements import SourceFile, Statement

BASE = """
class A:
    def f(self, x):
        y = [
            x + n
            for n in range(3)
        ]
        for i in range(2):  # a loop
            if i:
                x = x + i
        try:
            z = x
        except ValueError as e:
            z = e
        return y, z
"""


def source(folder: Path, text: str, name: str = "m.py") -> SourceFile:
    (folder / name).write_text(text)
    return SourceFile(folder / name, name)


def statements(folder: Path, text: str, *lines: int) -> list[Statement]:
    file = source(folder, text)
    return [file.at(line) for line in lines]


def test_every_line_of_a_folded_statement_is_that_statement(tmp_path: Path) -> None:
    first, last = statements(tmp_path, BASE, 4, 7)
    assert first == last
    assert (first.line, first.function, first.text) == (4, "A.f", "y = [")
    assert first.key == "y = [x + n for n in range(3)]"


def test_what_has_a_body_is_what_stands_before_it(tmp_path: Path) -> None:
    loop, condition, inner, handled = statements(tmp_path, BASE, 8, 9, 10, 14)
    assert loop.key == "for i in range(2):\n    pass"
    assert (condition.around, inner.around) == ((8,), (9, 8))
    assert (inner.key, handled.key) == ("x = x + i", "z = e")


def test_a_file_that_is_no_python_has_lines(tmp_path: Path) -> None:
    (found,) = statements(tmp_path, "a b c\n  d   e\n", 2)
    assert (found.key, found.function) == ("d e", "")
    assert SourceFile(tmp_path / "nowhere.py", "nowhere.py").at(7).text == ""


def matched(folder: Path, base: str, head: str) -> tuple[dict[int, int], dict[int, list[int]], list[int]]:
    """Lines at head and at base that are the same; what stands in the place of what; what is gone."""
    sides = []
    for text in (base, head):
        file = source(folder, text)
        sides.append(
            {
                s.line: s
                for n, line in enumerate(text.splitlines(), 1)
                if line.strip("# \n") == line.strip() != ""
                for s in [file.at(n)]
            }.values()
        )
    found = match(*sides)
    return (
        {h[1]: b[1] for h, b in found.base_of.items()},
        {h[1]: [b[1] for b in before] for h, before in found.instead.items()},
        [place[1] for place in found.gone],
    )


def test_lines_that_moved_or_are_folded_otherwise_are_the_same(tmp_path: Path) -> None:
    head = "# a comment\n\na = f(\n    1,\n)\nb = 2\n"
    assert matched(tmp_path, "a = f(1)\nb = 2  # two\n", head) == ({3: 1, 6: 2}, {}, [])


def test_a_changed_line_stands_in_the_place_of_the_old_one(tmp_path: Path) -> None:
    assert matched(tmp_path, "a = 1\nb = a\nc = 3\n", "a = 1\nb = a + 0\nc = 3\n") == ({1: 1, 3: 3}, {2: [2]}, [2])


def test_a_line_in_another_function_is_the_same_and_each_only_once(tmp_path: Path) -> None:
    base = "def f():\n    a = 1\n    b = 2\n"
    head = "def f():\n    b = 2\ndef g():\n    a = 1\n    a = 1\n"
    same, instead, gone = matched(tmp_path, base, head)
    assert same == {1: 1, 2: 3, 4: 2}
    assert (list(instead), gone) == ([3, 5], [])


def test_places_have_a_file() -> None:
    assert place_of(Statement("a.py", 3)) == ("a.py", 3)
    assert place_of(None) == ("", 0)
