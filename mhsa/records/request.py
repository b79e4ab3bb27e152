"""One subject as it is to be judged: which object, how it is built, by which contract, with how much effort."""

from __future__ import annotations

import difflib
import fnmatch
import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from mhsa.records.defaults import DTYPES, PROFILES

_DEEPEST = 20  # tables in tables
PLAIN = f"texts, finite numbers, true, false, and lists and tables of them, at most {_DEEPEST} deep"
_LONGEST = 300  # characters of a message that are worth a line


@dataclass(frozen=True)
class Expected:
    """A failure that the user has declared.

    Attributes:
        id: of a property, or a pattern such as ``masks.*``.
        reason: why it is accepted; without one it is reported.
        link: to an issue, or empty.
        form: of the failure, as :mod:`mhsa.records.failures.failure_form` names it: no other is expected; empty accepts any.
        cause: the known bug that was confirmed ("A or B": the comparison could not distinguish them), or empty.
    """

    id: str
    reason: str = ""
    link: str = ""
    form: str = ""
    cause: str = ""

    def fits(self, identity: str) -> bool:
        """Whether a property is meant."""
        return fnmatch.fnmatchcase(identity, self.id)

    def accepts(self, form: str) -> bool:
        """Whether a failure of this form is meant; one whose form is not known may be."""
        return not self.form or not form or self.form == form

    @property
    def words(self) -> str:
        """Reason and link in one line."""
        return " ".join(part for part in (self.reason or "no reason given", self.link) if part)


@dataclass(frozen=True)
class Request:
    """One subject as it is to be judged.

    Attributes:
        label: what it is called in every output; unique within a run.
        subject: ``package.module:attr`` or ``path/file.py[:attr]``; with ``build`` empty.
        build: names a function without arguments that returns a model (or the model itself).
        submodule: the part of that model, or of a built ``subject``, that is judged: ``encoder.layers.0.self_attn``.
        folder: that paths are relative to and modules are imported from; empty for the current one.
        arguments: for the constructor, in addition to those that mhsa knows by name.
        contract: fields of :class:`mhsa.Contract` that replace what the adapter says.
        profile, seed, dtypes, device: effort and conditions; no dtypes stand for float64 and float32.
        expected: failures that are accepted.
        not_judged: what nothing tries and the user accepts, in the words of the verdict: ``argument is_causal``.
        faster: why it may take less time than the machine is known to need, for ``mhsa bench``; empty where it may not.
        layers_of: classes of the subject's file, itself among them, that are judged apart: with this one of them the classes
            that are built of any are judged, too.
        typed: the options of a command line that declare a part of contract and arguments, for commands to be copied.
    """

    label: str
    subject: str = ""
    build: str = ""
    submodule: str = ""
    folder: str = ""
    arguments: dict[str, Any] = field(default_factory=dict)
    contract: dict[str, Any] = field(default_factory=dict)
    profile: str = "quick"
    seed: int = 0
    dtypes: tuple[str, ...] = ()
    device: str = "cpu"
    expected: tuple[Expected, ...] = ()
    not_judged: tuple[str, ...] = ()
    faster: str = ""
    layers_of: tuple[str, ...] = ()
    typed: tuple[str, ...] = ()

    @classmethod
    def of(cls, spec: str, **fields: Any) -> Request:
        """Return the request for the object that a spec names, which is its label, too."""
        return cls(spec, spec, **fields)

    @property
    def spec(self) -> str:
        """What names the object that is loaded."""
        return self.build or self.subject

    @property
    def is_unnamed(self) -> bool:
        """Whether it is the object that a spec names, and no configured subject, which is one thing."""
        return self.label == self.subject and not self.submodule

    def under(self, contract: Mapping[str, Any], arguments: Mapping[str, Any] | None = None) -> Request:
        """Return the same with more declared: fields of the contract, and arguments for the constructor."""
        from mhsa.records.declarations import as_options, canonical

        given = dict(arguments or {})
        typed = (*self.typed, *as_options(contract), *as_options(given, "--argument"))
        both = canonical(self.contract) | canonical(contract)
        return replace(self, contract=both, arguments=self.arguments | given, typed=typed)

    def declared(self, identity: str) -> list[Expected]:
        """Return every declaration that a property fails."""
        return [e for e in self.expected if e.fits(identity)]

    def as_dict(self) -> dict[str, Any]:
        """Return the fields that say what is judged, ready for JSON."""
        return {name: value for name, value in asdict(self).items() if name != "typed"}

    @classmethod
    def of_dict(cls, data: Mapping[str, Any]) -> Request:
        """Return what :meth:`as_dict` was made from.

        Raises:
            TypeError: a field that is missing or not known, or one of another type.
            ValueError: a value that cannot be.
        """
        if isinstance(data, Mapping):  # what asdict was given a request in has it: it says nothing about what is judged
            data = {"faster": "", "layers_of": (), **{name: value for name, value in data.items() if name != "typed"}}
        _require_fields("a request", data, {name: None for name in cls.__dataclass_fields__ if name != "typed"})
        for e in data["expected"] if isinstance(data["expected"], (list, tuple)) else [data["expected"]]:
            _require_fields("an expected failure", e, Expected.__dataclass_fields__)
            _require_kinds("an expected failure", e, str)
        texts = ("label", "subject", "build", "submodule", "folder", "profile", "device", "faster")
        _require_kinds("a request", {name: data[name] for name in texts}, str)
        _require_kinds("a request", {name: data[name] for name in ("arguments", "contract")}, dict)
        _require_kinds("a request", {"seed": data["seed"]}, int)
        lists = {name: data[name] for name in ("dtypes", "not_judged", "layers_of")}
        _require_kinds("a request", lists, (list, tuple))
        lists = {name: tuple(value) for name, value in lists.items()}
        request = cls(**{**data, **lists, "expected": tuple(Expected(**e) for e in data["expected"])})
        request.require_known()
        return request

    def require_known(self) -> None:
        """Raise ValueError unless every choice is one that there is."""
        from mhsa.records.declarations import problem

        if not self.spec:
            raise ValueError("a request with neither subject nor build")
        if self.profile not in PROFILES:
            raise ValueError(f"a request with profile={self.profile!r}; must be one of {', '.join(PROFILES)}")
        if wrong := [d for d in self.dtypes if d not in DTYPES]:
            raise ValueError(f"a request with dtypes={wrong}; must be of {', '.join(DTYPES)}")
        if self.seed < 0:
            raise ValueError(f"a request with seed={self.seed}; must be at least 0")
        if not is_plain(self.arguments):
            raise ValueError(f"a request with arguments that cannot be; must be a table of {PLAIN}")
        if not is_plain(self.contract):
            raise ValueError(f"a request with a contract that cannot be; must be a table of {PLAIN}")
        if words := problem(self.contract)[1]:
            raise ValueError(f"a request with a contract that cannot be: {words}")


def is_plain(value: Any, deep: int = _DEEPEST) -> bool:
    """Whether JSON can hold a value, which is how it reaches the subject's process."""
    if isinstance(value, (dict, list)):
        inner = value.values() if isinstance(value, dict) else value
        return deep > 0 and all(is_plain(x, deep - 1) for x in inner)
    return value is None or isinstance(value, (str, int)) or (isinstance(value, float) and math.isfinite(value))


def read_requests(path: Path) -> tuple[Request, ...]:
    """Read a list of requests, as ``mhsa verify`` writes it for the process that judges them.

    Raises:
        ValueError: it cannot be read, or is not such a list.
    """
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(entries, list) or not entries:
            raise ValueError("no list of requests")
        return tuple(Request.of_dict(entry) for entry in entries)
    except RecursionError:
        raise ValueError(f"{path}: nested too deeply") from None
    except OSError as error:
        raise ValueError(f"{path}: {error.strerror}") from None
    except (TypeError, ValueError) as error:
        raise ValueError(f"{path}: {str(error)[:_LONGEST]}") from None


def _require_fields(what: str, data: Any, names: Mapping[str, Any]) -> None:
    if not isinstance(data, Mapping):
        raise TypeError(f"{what} is {data!r}; must be a table")
    if unknown := sorted(set(data) - set(names)):
        raise TypeError(f"{what} has no {', '.join(map(repr, unknown))}; it has {', '.join(names)}")
    if missing := [name for name in names if name not in data]:
        raise TypeError(f"{what} without {', '.join(missing)}")


def _require_kinds(what: str, data: Mapping[str, Any], kind: type | tuple[type, ...]) -> None:
    for name, value in data.items():
        if not isinstance(value, kind) or isinstance(value, bool):
            words = {str: "a text", int: "a whole number", dict: "a table"}.get(kind, "a list")  # type: ignore[arg-type]
            raise TypeError(f"{what} with {name}={value!r}; must be {words}")


def nearest_id(given: str, known: Iterable[str]) -> str:
    """Return the id, or the pattern of a family, that may have been meant, or nothing; of an id the family may be missing."""
    by_name: dict[str, str] = {}
    for identity in known:
        family, _, name = identity.partition(".")
        by_name |= {name: identity, identity: identity, f"{family}.*": f"{family}.*"}
    near = difflib.get_close_matches(given, by_name, n=1)
    return by_name[near[0]] if near else ""


def unmatched(request: Request, known: Iterable[str]) -> list[Expected]:
    """Return the declarations that fit no property at all."""
    ids = list(known)
    return [e for e in request.expected if not any(e.fits(identity) for identity in ids)]
