"""Markdown of every report is written in one place: text that means only itself, and tables."""

from mhsa.records.errors import visible
from mhsa.reports.markdown_text import code, table, text


def test_text_means_only_itself() -> None:
    assert text("a|b *c* <d>\n# e") == "a&#124;b \\*c\\* &lt;d&gt; # e"
    assert text("x" * 30, 10) == "x" * 10 + " ..."
    assert code("a_b") == "`a_b`"
    assert code("a|b_c") == "<code>a&#124;b\\_c</code>"


def test_a_table_has_as_many_columns_as_its_head() -> None:
    assert list(table(("name", "time"), [("a|b", "1 s")], right=(1,))) == [
        "| name | time |",
        "|---|---:|",
        "| a&#124;b | 1 s |",
    ]


def test_what_acts_on_a_terminal_is_visible() -> None:
    assert visible("red \x1b[31m\u202e") == "red \\x1b[31m\\u202e"
