"""For the user's own tests: ``@mhsa.verifies`` runs the properties, ``@mhsa.cases`` gives their cases to any test.

Decorating imports neither torch nor the subject: tests are collected at once, and only those that run cost anything.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from mhsa.judge.checked_arguments import Conditions, is_test, requested_subjects
from mhsa.records.catalogue import EVERYTHING
from mhsa.records.configuration import Configuration, find, read
from mhsa.records.request import Request

if TYPE_CHECKING:
    from mhsa.records.contract import Contract

Test = Callable[..., Any]


@dataclass(frozen=True)
class Check:
    """One property of one subject, as a test: calling it passes, fails, skips (not applicable) or xfails (expected).

    ``EVERYTHING`` instead of a property checks that everything is judged.
    """

    request: Request
    property: str
    strict: bool
    target: Any = field(default=None, repr=False, compare=False)  # the object, where one was given in place of a name

    def __call__(self) -> None:
        """Judge."""
        from mhsa.judge.inline import judge_inline

        judge_inline(self.request, self.property, strict=self.strict, target=self.target)

    def __repr__(self) -> str:
        return f"<{self.property} of {self.request.label}>"


def verifies(
    *subjects: Any,
    profile: str | None = None,
    seed: int | None = None,
    dtypes: Any = (),
    device: Any = None,
    contract: Contract | Mapping[str, Any] | None = None,
    arguments: Mapping[str, Any] | None = None,
    expected_failures: Mapping[str, str] | None = None,
) -> Callable[[Test], Test]:
    """Parametrise a test with every property of every subject; the test calls the ``check`` that it is given.

    Args:
        subjects: objects, or names: of configured subjects, or ``package.module:attr``, or ``path/file.py[:attr]``; without
            any, all that ``[tool.mhsa]`` configures. Objects are what :func:`mhsa.verify` takes.
        profile: "quick", "ci" or "thorough"; by default what is configured.
        seed: of the cases; by default what is configured.
        dtypes: to judge in; by default what is configured.
        device: to judge on, such as "cpu"; by default what is configured.
        contract: a :class:`mhsa.Contract`, or a dict of the fields that differ from what the subject itself says.
        arguments: for the constructors of the subjects, in addition to those that mhsa knows by name.
        expected_failures: why a property may fail, by its id or by a pattern: ``{"masks.*": "issue 12"}``.

    Raises:
        TypeError: an argument of a wrong type.
        ValueError: an unknown profile, dtype, field of a contract or id of a property, with the nearest that there is.
        ConfigurationError: the configuration is wrong, the message names the line; or there is no subject at all.

    A whole test file is ``test_attention = mhsa.verifies()(lambda check: check())``, or, better to read::

        @mhsa.verifies()
        def test_attention(check):
            check()

    Without the parentheses it is the same. An object is called after its class.

    Ids are ``subject-family.name``, the same in every run: for -k, --lf, xdist and JUnit. The last check of a subject,
    ``judged.everything``, passes if all that a user can reach was tried; else it is a skip that says what was not, or a
    failure under ``strict = true``.
    """
    if len(subjects) == 1 and is_test(subjects[0]):  # @mhsa.verifies without parentheses
        return verifies()(subjects[0])
    conditions = Conditions("verifies", profile, seed, dtypes, device, contract, arguments, expected_failures)
    configuration = _configuration()
    every = [(conditions.apply(a.request), a.target) for a in requested_subjects("verifies", subjects, configuration)]

    from mhsa.records.catalogue import catalogue

    checks = [
        pytest.param(Check(request, identity, configuration.strict, target), id=f"{request.label}-{identity}")
        for request, target in every
        for identity in (*(p.id for p in catalogue() if not (p.slow and request.profile == "quick")), EVERYTHING)
    ]

    def decorate(test: Test) -> Test:
        names = list(inspect.signature(test).parameters)
        if "check" not in names:
            raise ValueError(f"{test.__name__}({', '.join(names)}) must take an argument named check, and call it")
        parametrised: Test = pytest.mark.parametrize("check", checks)(test)
        return parametrised

    return decorate


def _configuration() -> Configuration:
    """Read what applies to the file of the test that is being decorated."""
    frame = inspect.currentframe()
    while frame is not None and frame.f_globals.get("__name__") == __name__:
        frame = frame.f_back
    file = frame.f_code.co_filename if frame is not None else ""
    folder = Path(file).resolve().parent if Path(file).is_file() else Path.cwd()
    return read(find(folder))


def cases(
    *,
    count: int = 20,
    seed: int = 0,
    masks: tuple[str, ...] = ("none", "padding", "causal", "random"),
    dtypes: tuple[str, ...] = ("float64",),
    self_attention: bool = False,
    sizes: tuple[int, int] | None = None,
) -> Callable[[Test], Test]:
    """Parametrise a test with cases of mhsa: tensors, parameters, a mask, and what must come out, with its bound.

    Args:
        count: how many; the same ones each time.
        seed: which.
        masks: kinds of masks, of those in docs/cases.md.
        dtypes: of the tensors.
        self_attention: query, key and value are one tensor.
        sizes: (head, d_model), if only one size will do.

    Raises:
        ValueError: an unknown mask or dtype, or a count below 1.

    The test has an argument ``case``, an :class:`mhsa.Example`::

        @mhsa.cases(masks=("padding",))
        def test_my_kernel(case):
            output = my_attention(case.query, case.key, case.value, case.mask)
            case.check(output)
    """
    from mhsa.judge.sampling import sample  # needs no torch

    samples = sample(count, seed, masks, dtypes, self_attention=self_attention, sizes=sizes)

    def decorate(test: Test) -> Test:
        names = list(inspect.signature(test).parameters)
        if "case" not in names:
            raise ValueError(f"{test.__name__}({', '.join(names)}) must take an argument named case")

        @functools.wraps(test)
        def with_tensors(*arguments: Any, **named: Any) -> Any:
            from mhsa.judge.example import Example

            named["case"] = Example(named["case"])
            return test(*arguments, **named)

        ids = [
            f"{n}-{c.dtype}-{c.mask}-B{c.batch}H{c.head}Tq{c.query_length}Tk{c.key_length}d{c.d_k}"
            for n, c in enumerate(samples)
        ]
        parametrised: Test = pytest.mark.parametrize("case", samples, ids=ids)(with_tensors)
        return parametrised

    return decorate
