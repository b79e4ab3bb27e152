"""Each command is called with arguments that have types; what argparse reads and what they hold is the same."""

import argparse
from dataclasses import fields
from pathlib import Path

import pytest

from mhsa.commands.cli import _parser
from mhsa.commands.frame import frame
from mhsa.records.errors import UsageError

(COMMANDS,) = (action.choices for action in _parser()._actions if isinstance(action, argparse._SubParsersAction))
POSITIONAL = {"probe": ["m:A"], "diagnose": ["m:A"], "replay": ["FILE"]}


@pytest.mark.parametrize("name", COMMANDS)
def test_options_of_a_command_are_the_fields_of_its_arguments(name: str) -> None:
    parsed = _parser().parse_args([name, *POSITIONAL.get(name, [])])
    names = {field.name for field in fields(parsed.arguments)}
    assert names == set(vars(parsed)) - {"command", "arguments", "needs_torch"}
    arguments = parsed.arguments.of(parsed)
    assert all(getattr(arguments, field) == getattr(parsed, field) for field in names)
    with pytest.raises(AttributeError):
        arguments.no_colour = True


def test_only_the_files_that_are_named_are_written() -> None:
    parsed = _parser().parse_args(["bench", "--json", "-", "--png", "o.png"])
    assert parsed.arguments.of(parsed).files == {"json": Path("-"), "png": Path("o.png")}


def test_a_frame_refuses_files_before_anything_runs_and_shows_beside_json(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there is no folder"), frame({"json": tmp_path / "no" / "o.json"}, no_color=True):
        pytest.fail("nothing may run")
    with frame({"json": Path("-")}, no_color=True) as out:
        assert out.console.stderr


def test_a_frame_returns_2_for_what_cannot_be_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with frame({"json": tmp_path / "o.json"}, no_color=True) as out:
        assert out.finish(1, {"json": lambda: "{}"}) == 1
        assert (tmp_path / "o.json").read_text() == "{}"
        assert out.finish(0, {"json": lambda: "{}"}, ["asv publish failed"]) == 2
    assert capsys.readouterr().err == "mhsa: asv publish failed\n"


def test_sigterm_interrupts_within_a_frame_only() -> None:
    import signal

    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(KeyboardInterrupt), frame({}, no_color=True):
        signal.raise_signal(signal.SIGTERM)
    assert signal.getsignal(signal.SIGTERM) == before
