"""The words that say how an argument of a constructor is stated, or a factory named."""

from __future__ import annotations


def how_to_state(argument: str) -> str:
    """Return the words for stating an argument: on the command line and in pyproject.toml."""
    key = f'"{argument}"' if "." in argument else argument
    return f"State it: --argument {argument}=VALUE, or arguments = {{ {key} = VALUE }} in pyproject.toml"


FACTORY = "Or name a factory instead: def make(head, d_model): return ... in a file, verified as FILE.py:make"
