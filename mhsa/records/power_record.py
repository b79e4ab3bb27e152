"""The power of the suite: which property finds which known bug, as it was measured, kept in ``power.json``."""

from __future__ import annotations

import functools
import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

FILE = Path(__file__).with_name("power.json")


@dataclass(frozen=True)
class Kill:
    """Which properties fail on one mutant in a run of the quick profile.

    Attributes:
        kills: ids of the properties that find it, in running order.
        first: the first of them; empty if none did.
        cases: that all properties up to that one draw.
        seconds: that they take, imports and loading not included.
        elsewhere: the properties that find it where quick does not look: among the slow ones, or in float16.
    """

    kills: tuple[str, ...]
    first: str
    cases: int
    seconds: float
    elsewhere: tuple[str, ...] = ()


@dataclass(frozen=True)
class OtherTool:
    """What another way of testing finds on the same modules.

    Attributes:
        found: names of the mutants that it finds.
        alarms: right variants that it calls wrong.
    """

    found: tuple[str, ...]
    alarms: tuple[str, ...]


@dataclass(frozen=True)
class Power:
    """One measurement.

    Attributes:
        order: ids of all properties, the one that finds most unfound mutants per second first.
        costs: seconds of each where it finds nothing.
        mutants: which properties fail on each mutant, by name.
        alarms: right variants that did not hold, with the verdict.
        right: how many right variants were judged.
        other_tools: what other tools find, by name.
        seconds: of wall time, all included.
    """

    order: tuple[str, ...]
    costs: dict[str, float]
    mutants: dict[str, Kill]
    alarms: dict[str, str]
    right: int
    seconds: float
    other_tools: dict[str, OtherTool] = field(default_factory=dict)

    @property
    def survivors(self) -> list[str]:
        """Names of the mutants that no property finds."""
        return [name for name, kill in self.mutants.items() if not kill.kills and not kill.elsewhere]


@functools.cache
def recorded() -> Power:
    """Return the measurement that comes with this version."""
    data: dict[str, Any] = json.loads(FILE.read_text(encoding="utf-8"))
    kills = {
        name: Kill(**(kill | {k: tuple(kill[k]) for k in ("kills", "elsewhere")})) for name, kill in data["mutants"].items()
    }
    other_tools = {name: OtherTool(tuple(r["found"]), tuple(r["alarms"])) for name, r in data["other_tools"].items()}
    return Power(**(data | {"order": tuple(data["order"]), "mutants": kills, "other_tools": other_tools}))


def save(power: Power, path: Path = FILE) -> None:
    """Write a measurement.

    Raises:
        OSError: the file cannot be written.
    """
    path.write_text(json.dumps(asdict(power), indent=1) + "\n", encoding="utf-8")
