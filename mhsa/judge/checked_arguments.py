"""What ``mhsa.verify()`` and ``@mhsa.verifies()`` are given, objects or names, checked and turned into requests.

Nothing is imported for it that the user has not imported: an object says by its type what it can be.
"""

from __future__ import annotations

import difflib
import inspect
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

from mhsa.records.catalogue import catalogue
from mhsa.records.configuration import Configuration, ConfigurationError
from mhsa.records.contract import Contract
from mhsa.records.declarations import canonical, field_names
from mhsa.records.defaults import DTYPES, PROFILES
from mhsa.records.request import Expected, Request, nearest_id

_OBJECTS = "an nn.Module class or object, a factory, a function on [B, H, T, d], or an mhsa.Adapter"


@dataclass(frozen=True)
class RequestedSubject:
    """One subject of a call: the request, and the object where one was given in place of a name."""

    request: Request
    target: Any = None


@dataclass(frozen=True)
class Conditions:
    """What a call says about all of its subjects; None and empty stand for what is configured, or for the default.

    Attributes:
        caller: how the call is named in messages.
        profile, seed, dtypes, device: effort and conditions.
        contract: a whole :class:`mhsa.Contract`, or a table of the fields that differ from what the subject says.
        arguments: for the constructor.
        expected_failures: id of a property, or a pattern, and why the failure is accepted.
    """

    caller: str
    profile: str | None = None
    seed: int | None = None
    dtypes: Any = ()
    device: Any = None
    contract: Contract | Mapping[str, Any] | None = None
    arguments: Mapping[str, Any] | None = None
    expected_failures: Mapping[str, str] | None = None

    def apply(self, request: Request) -> Request:
        """Return the request under these conditions.

        Raises:
            TypeError, ValueError: one of them cannot be; the message says what is allowed.
        """
        changes: dict[str, Any] = {}
        if self.profile is not None:
            if self.profile not in PROFILES:
                raise ValueError(f"{self.caller}(profile={self.profile!r}); must be one of {', '.join(PROFILES)}")
            changes["profile"] = self.profile
        if self.seed is not None:
            if type(self.seed) is not int or self.seed < 0:
                raise ValueError(f"{self.caller}(seed={self.seed!r}); must be a whole number of at least 0")
            changes["seed"] = self.seed
        if self.dtypes:
            changes["dtypes"] = self._dtypes()
        if self.device is not None:
            changes["device"] = str(self.device)
        if self.arguments:
            changes["arguments"] = dict(self.arguments)
        if self.contract is not None:
            changes["contract"] = self._contract(request.contract)
        if self.expected_failures is not None:
            changes["expected"] = (*self._expected(), *request.expected)
        return replace(request, **changes)

    def _dtypes(self) -> tuple[str, ...]:
        """Names of dtypes, which may be given as torch's own; one may stand alone."""
        given = [self.dtypes] if isinstance(self.dtypes, str) or not isinstance(self.dtypes, Iterable) else list(self.dtypes)
        names = [str(d).removeprefix("torch.") for d in given]
        if wrong := [d for d in names if d not in DTYPES]:
            raise ValueError(f"{self.caller}(dtypes={wrong}); must be of {', '.join(DTYPES)}")
        return tuple(dict.fromkeys(names))

    def _contract(self, configured: Mapping[str, Any]) -> dict[str, Any]:
        if isinstance(self.contract, Contract):
            return {f.name: getattr(self.contract, f.name) for f in fields(Contract)}
        if not isinstance(self.contract, Mapping):
            raise TypeError(
                f"{self.caller}(contract={self.contract!r}); must be an mhsa.Contract, or a dict of its fields such as "
                "{'mask': 'blocked'}"
            )
        known = field_names()
        for name in self.contract:
            if name not in Contract.__dataclass_fields__:
                raise ValueError(
                    f"{self.caller}(contract={{{name!r}: ...}}): mhsa.Contract has no {name!r}{_near(name, known)}"
                )
        given = canonical(configured) | canonical(self.contract)
        replace(Contract(), **given)  # which refuses values that cannot be
        return given

    def _expected(self) -> tuple[Expected, ...]:
        given = self.expected_failures
        if not isinstance(given, Mapping):
            raise TypeError(
                f"{self.caller}(expected_failures={given!r}); must be a dict of ids and reasons, such as "
                "{'masks.masking_is_deleting': 'the kernel ignores padding, issue 12'}"
            )
        for identity, reason in given.items():
            if not isinstance(reason, str) or not reason.strip():
                raise ValueError(f"{self.caller}(expected_failures={{{identity!r}: {reason!r}}}) needs a reason: a text")
        matching(f"{self.caller}(expected_failures=...)", given)
        return tuple(Expected(identity, reason.strip()) for identity, reason in given.items())


def matching(where: str, patterns: Iterable[str]) -> list[str]:
    """Return the ids of the properties that are named, by id or by a pattern such as ``masks.*``.

    Raises:
        ValueError: one of them names no property.
    """
    ids = [p.id for p in catalogue()]
    matched: set[str] = set()
    for pattern in patterns:
        meant = {identity for identity in ids if isinstance(pattern, str) and Expected(pattern).fits(identity)}
        if not meant:
            near = nearest_id(str(pattern), ids)
            hint = f"; did you mean {near!r}?" if near else "; `mhsa properties` lists them"
            raise ValueError(f"{where} names {pattern!r}, and no property has that id{hint}")
        matched |= meant
    return [identity for identity in ids if identity in matched]


def requested_subjects(caller: str, subjects: Sequence[Any], configuration: Configuration) -> list[RequestedSubject]:
    """Return what is to be judged; objects get the name of their class, each a name of its own.

    Raises:
        TypeError: what is neither a name nor an object that can be a subject.
        ConfigurationError: no subject was given, and none is configured.
    """
    if not subjects:
        if not configuration.requests:
            raise ConfigurationError(
                f"mhsa.{caller}() without a subject runs what [tool.mhsa.subjects] in pyproject.toml configures, and there is "
                f"none; write mhsa.{caller}('package.module:Attention') or run `mhsa init`"
            )
        return [RequestedSubject(request) for request in configuration.requests]
    by_label = {r.label: r for r in configuration.requests}
    folder = str(configuration.path.parent) if configuration.path is not None else ""
    taken = {subject for subject in subjects if isinstance(subject, str)}
    requested = []
    for subject in subjects:
        if isinstance(subject, str):
            requested.append(RequestedSubject(by_label.get(subject) or Request.of(subject, folder=folder)))
            continue
        _require_object(caller, subject)
        label = _unique(_name(subject), taken)
        taken.add(label)
        requested.append(RequestedSubject(Request(label, _spec(subject)), subject))
    return requested


def is_test(subject: Any) -> bool:
    """Whether a function is a test that is being decorated, not a subject: a subject takes at least query, key and value."""
    if not inspect.isfunction(subject):
        return False
    names = inspect.signature(subject).parameters
    return "check" in names or (subject.__name__.startswith("test") and len(names) < len(("query", "key", "value")))


def _require_object(caller: str, subject: Any) -> None:
    adapter = sys.modules.get("mhsa.subject.adapters.adapter")  # an adapter exists only where this is imported
    if callable(subject) or (adapter is not None and isinstance(subject, adapter.Adapter)):
        return
    hint = ""
    if isinstance(subject, (list, tuple)):
        hint = f"; give several one by one: {caller}(A, B)" if caller == "verifies" else "; give one at a time"
    raise TypeError(
        f"{caller}({_shown(subject)}): a {type(subject).__name__} cannot be a subject; must be {_OBJECTS}, or the name of one: "
        f"'package.module:attr' or 'path/file.py'{hint}"
    )


def _name(target: Any) -> str:
    owner: Callable[..., Any] | type = target if inspect.isclass(target) or inspect.isroutine(target) else type(target)
    return owner.__name__.strip("<>")  # of a lambda


def _spec(target: Any) -> str:
    owner: Any = target if inspect.isclass(target) or inspect.isroutine(target) else type(target)
    return f"{owner.__module__}:{owner.__qualname__}"


def _unique(name: str, taken: set[str]) -> str:
    unique, n = name, 2
    while unique in taken:
        unique, n = f"{name}-{n}", n + 1
    return unique


def _near(name: str, known: Sequence[str]) -> str:
    near = difflib.get_close_matches(name, known, n=1)
    return f"; did you mean {near[0]!r}?" if near else ""


def _shown(subject: Any) -> str:
    text = repr(subject)
    return text if len(text) <= 60 else f"{text[:57]}..."
