"""What the command line declares for a file or a layer is declared for each of its attentions: it must apply to one of them.

Where it applies to nothing in one of several, it is left out there, and that is said; where it applies to none, that stays
the question that it is. A word about positions, such as ``causal``, may be meant for one of them alone: where another one
fails under it and holds without it, that is a question.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from mhsa.commands.several.judge_each import judge_each
from mhsa.records.declarations import as_options, canonical, in_words
from mhsa.records.options import Options
from mhsa.records.understood import Understood

if TYPE_CHECKING:
    from mhsa.records.request import Request
    from mhsa.records.results import SubjectResult
    from mhsa.reports.write import JudgedRun

    Judge = Callable[[Options], JudgedRun]

# What a layer's own sequence may have, and one that it attends to has not.
_OF_POSITIONS = ("causal", "window", "rotary")
_NOT_DECLARED = (None, "no")


@dataclass
class _JudgedPart:
    """One of several attentions: as it is judged, and what came of it.

    Attributes:
        request, result: the last ones.
        unused: by what is declared and applies to nothing here, what came of it then.
    """

    request: Request
    result: SubjectResult
    unused: dict[str, tuple[Request, SubjectResult]]

    def sound(self) -> bool:
        """Whether it holds, as it is declared or with more lines that its question prints."""
        under = self.result.under
        return self.result.verdict == "holds" or (under is not None and under["passed"] == under["judged"])


def judge_parts(options: Options, run: JudgedRun, judge: Judge) -> tuple[Options, JudgedRun]:
    """Judge what each subject with several attentions may mean, under what is declared for all of them."""
    typed = [request.label for request in options.requests]
    options, run = judge_each(options, run, judge)
    parts = [_JudgedPart(q, r, {}) for q, r in zip(options.requests, run.results, strict=True)]
    for label in typed:
        group = [p for p in parts if p.request.label != label and p.request.label.startswith((f"{label}:", f"{label}."))]
        if len(group) > 1 and not run.interrupted:
            run = _without_unused(options, run, judge, group)
            run = _asking_about_positions(options, run, judge, group)
    requests = tuple(p.request for p in parts)
    return replace(options, requests=requests), replace(run, results=[p.result for p in parts])


def _without_unused(options: Options, run: JudgedRun, judge: Judge, group: list[_JudgedPart]) -> JudgedRun:
    """Judge those parts anew in which something applies to nothing, without that, while it applies to another one."""
    while not run.interrupted:
        for part in group:
            if part.result.unused:
                part.unused[part.result.unused] = (part.request, part.result)
        anew = [part for part in group if part.result.unused and any(part.result.unused not in p.unused for p in group)]
        if not anew:
            break
        run = _judged_anew(options, run, judge, anew, [_without(part.request, [part.result.unused]) for part in anew])
    for part in group:
        nowhere = [name for name in part.unused if all(name in p.unused for p in group)]
        if nowhere:
            part.request, part.result = part.unused[nowhere[0]]
        elif part.unused:
            _say_what_is_left_out(part, group)
    return run


def _say_what_is_left_out(part: _JudgedPart, group: list[_JudgedPart]) -> None:
    first, _ = next(iter(part.unused.values()))
    for name in part.unused:
        where = " and ".join(p.request.label for p in group if name not in p.unused)
        text = f"{_in_words(first, name)} is left out: it applies to nothing here, but to {where}"
        part.result.reading.append(Understood("declared", text, "declared"))
        part.result.notes.append(("declared", text))


def _asking_about_positions(options: Options, run: JudgedRun, judge: Judge, group: list[_JudgedPart]) -> JudgedRun:
    """Ask about a part that fails under a word about positions and holds without it, where another one holds under it."""
    for part in group:
        words = {n: x for n, x in part.request.contract.items() if n in _OF_POSITIONS and x not in _NOT_DECLARED}
        sound = [p for p in group if p is not part and p.sound() and words.items() <= p.request.contract.items()]
        if not words or not sound or part.sound() or part.result.verdict not in ("violated", "question") or run.interrupted:
            continue
        was = replace(part)
        run = _judged_anew(options, run, judge, [part], [_without(part.request, [f"contract.{name}" for name in words])])
        if part.sound():
            lines = "\n".join(_command(p) for p in [*sound, part])
            text = (
                f"it fails under {in_words(words)}, which is declared for every attention of the file, and holds without "
                f"it. If it is meant for {' and '.join(p.request.label for p in sound)} alone, declare it there, one by one"
            )
            part.result = replace(part.result, question=True, reason=f"{text}:\n\n{lines}", declaration={}, declare={})
        else:
            part.request, part.result = was.request, was.result
    return run


def _judged_anew(
    options: Options, run: JudgedRun, judge: Judge, parts: list[_JudgedPart], requests: list[Request]
) -> JudgedRun:  # fmt: skip
    """Judge parts as these requests say."""
    more = judge(replace(options, requests=tuple(requests)))
    for part, request, result in zip(parts, requests, more.results, strict=False):  # fewer, where it was interrupted
        part.request, part.result = request, result
    return replace(run, diagnoses=run.diagnoses | more.diagnoses, interrupted=more.interrupted)


def _without(request: Request, names: list[str]) -> Request:
    """Return the request without these: fields of the contract, ``contract.mask``, and arguments, ``arguments.window``."""
    contract = {n: x for n, x in canonical(request.contract).items() if f"contract.{n}" not in names}
    arguments = {n: x for n, x in request.arguments.items() if f"arguments.{n}" not in names}
    typed = tuple(_options_but(request.typed, names))
    return replace(request, contract=contract, arguments=arguments, typed=typed)


def _options_but(typed: tuple[str, ...], names: list[str]) -> Iterator[str]:
    for option, text in zip(typed[::2], typed[1::2], strict=True):
        kind = "contract" if option == "--contract" else "arguments"
        if f"{kind}.{text.partition('=')[0]}" not in names:
            yield from (option, text)


def _in_words(request: Request, name: str) -> str:
    kind, _, rest = name.partition(".")
    return in_words({rest: (request.arguments if kind == "arguments" else canonical(request.contract)).get(rest)})


def _command(part: _JudgedPart) -> str:
    """Return the command that judges a part by itself, with what its own question adds."""
    options = [*part.request.typed, *as_options(part.result.declaration)]
    return shlex.join(["mhsa", "verify", part.request.label, *options])
