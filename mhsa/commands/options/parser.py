"""The parser of the command line: a mistake is one line, with what was given, what is allowed and what may have been meant."""

from __future__ import annotations

import argparse
import difflib
import sys
from collections.abc import Iterable, Sequence
from typing import Any, NoReturn

from mhsa.records.errors import UsageError

# argparse's sentences, and ours.
_WORDS = (
    ("argument ", ""),
    ("expected one argument", "needs a value"),
    ("expected at least one argument", "needs a value"),
    ("ignored explicit argument", "takes no value; given was"),
)
_REQUIRED = "the following arguments are required: "
_LOGIC = ("and", "or", "not")


class Parser(argparse.ArgumentParser):
    """Prints no usage before a mistake: the line that matters would stand below ten others. Options are written whole."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings, allow_abbrev=False)

    def error(self, message: str) -> NoReturn:
        """Raise a UsageError of one line."""
        for words, ours in _WORDS:
            message = message.replace(words, ours, 1)
        if message.startswith(_REQUIRED):
            message = f"{message.removeprefix(_REQUIRED)} is missing; `{self.prog} --help` says what it is"
        raise UsageError(message, self.prog)

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.choices is None or value in action.choices:
            return
        if isinstance(action, argparse._SubParsersAction):
            self.error(_no_command(str(value), action.choices))
        allowed = ", ".join(map(str, action.choices))
        raise argparse.ArgumentError(action, f"{value!r} is not one of {allowed}{near(str(value), action.choices)}")


def near(name: str, known: Iterable[str]) -> str:
    """Return a hint at the name that may have been meant, or nothing."""
    matches = difflib.get_close_matches(name, list(known), n=1)
    return f"; did you mean {matches[0]}?" if matches else ""


def near_option(name: str, known: Iterable[str]) -> str:
    """Return a hint at the option that may have been meant: the first that begins so, else the most similar one."""
    longer = [option for option in known if option.startswith(name)] if name.startswith("--") else []
    return f"; did you mean {longer[0]}?" if longer else near(name, known)


def _no_command(name: str, known: Iterable[str]) -> str:
    if name.endswith((".py", ".ipynb")) or ":" in name:  # a subject without a command
        return f"there is no command {name!r}; did you mean mhsa verify {name}?"
    hint = near(name, [*known, "help"]) or f"; there are {', '.join(known)}"
    return f"there is no command {name!r}{hint}"


def parse(parser: Parser, arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse a command line; ``help`` and ``help COMMAND`` are ``--help``, and what stands between options is taken, too."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if words[:1] == ["help"]:
        words = [*words[1:2], "--help"]
    (commands,) = (action for action in parser._actions if isinstance(action, argparse._SubParsersAction))
    words, last = _cut(commands.choices.get(words[0]) if words else None, words)
    parsed, rest = parser.parse_known_args(words)
    vars(parsed).update(last)
    if not rest:
        return parsed
    command = parser if parsed.command is None else commands.choices[parsed.command]
    wrong = next((word for word in rest if word.startswith("-") and word != "-"), None)
    if wrong is not None:
        name = wrong.partition("=")[0]
        hint = near_option(name, command._option_string_actions) or f"; `{command.prog} --help` lists them"
        command.error(f"there is no option {name}{hint}")
    logic = [word for word in rest if word in _LOGIC]
    keyword = str(vars(parsed).get("keyword", ""))
    if logic and keyword:
        whole = " ".join([keyword, *rest])
        command.error(f"-k takes one text, so {logic[0]!r} stood alone after it; write it in quotes: -k '{whole}'")
    _take(command, parsed, rest)
    return parsed


def _cut(command: argparse.ArgumentParser | None, words: list[str]) -> tuple[list[str], dict[str, list[str]]]:
    """Take off what follows an option that takes all that follows, with dashes and ``--`` as they stand, and return it too."""
    for action in command._actions if command else ():
        at = next((n for n, word in enumerate(words) if word in action.option_strings), None)
        if action.nargs == argparse.REMAINDER and at is not None:
            return words[:at], {action.dest: words[at + 1 :]}
    return words, {}


def _take(command: argparse.ArgumentParser, parsed: argparse.Namespace, rest: list[str]) -> None:
    """Give what stands after options to the arguments without a name: ``mhsa verify A -k x B`` is about A and B."""
    positional = [action for action in command._actions if not action.option_strings]
    for action in positional:
        if action.nargs == "*":
            setattr(parsed, action.dest, [*getattr(parsed, action.dest), *rest])
            return
        if action.nargs == "?" and rest and getattr(parsed, action.dest) == action.default:
            setattr(parsed, action.dest, rest.pop(0))
    if rest:
        takes = " ".join(str(action.metavar) for action in positional) or "none"
        command.error(f"{rest[0]!r} is one too many: what it takes, options apart, is {takes}")
