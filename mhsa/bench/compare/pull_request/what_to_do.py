"""What the author of a pull request can do about a verdict: look closer, or accept it with a reason."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from mhsa.bench.compare.accepted.file import NAME
from mhsa.bench.compare.accepted.trailers import line
from mhsa.bench.compare.accepting import still_to_accept
from mhsa.bench.compare.comparison import Comparison, overall
from mhsa.reports.text import printable

_MOST = 3  # lines to be copied into a message: more of them are better kept in the file


def what_to_do(comparisons: Sequence[Comparison], base: str) -> list[str]:
    """Return lines of Markdown; none where nothing is to be done.

    Args:
        comparisons: that were made.
        base: what was compared with, as it is typed.
    """
    return list(_lines(comparisons, base))


def _lines(comparisons: Sequence[Comparison], base: str) -> Iterator[str]:
    verdict = overall(comparisons)
    several = {c.verdict for c in comparisons}
    if several & {"wrong"}:
        yield "- **Wrong:** `mhsa verify` says which property fails, and on which case."
    if several & {"suspect"}:
        yield "- **Suspect:** the time is not that of the computation; the reason stands above."
    if found := {c.benchmark: figures for c in comparisons if (figures := still_to_accept(c)) is not None}:
        yield f"- **To see it again:** `mhsa compare {base}`; what the commits differ in is all that can have done it."
        yield f'- **If it is meant:** `mhsa compare {base} --accept "REASON"` keeps it in `{NAME}`; commit that. Or write this'
        yield "  into the message of a commit here, with a reason:"
        yield ""
        trailers = [line(printable(name), figures, "REASON") for name, figures in found.items()][:_MOST]
        yield from (f"  {line}" for line in ("```text", *trailers, "```"))
        if len(found) > _MOST:
            rest = len(found) - _MOST
            yield f"  and {rest} more such {'line' if rest == 1 else 'lines'}; `*` stands for any part of a name."
    if verdict == "cannot tell":
        yield "- **Not decided:** run the job again when the machine is less busy, or give it more time with `--budget`."
    if verdict == "n/a":
        yield "- **Not measured:** the reason stands above; `mhsa bench` at the commit shows the same."
