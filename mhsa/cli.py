"""The command line: ``mhsa verify`` and ``mhsa properties``."""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import platform
import secrets
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any, NoReturn

from mhsa import __version__
from mhsa.plugin import DEFAULT_DTYPES, DTYPES, PROFILES, REFERENCE

_EXIT = "exit codes: 0 every subject holds, 1 a subject is wrong, 2 a subject could not be judged or bad usage"


def main(arguments: list[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.command is None:
        parser.print_help()
        return 2
    try:
        code: int = options.run(options)
    except KeyboardInterrupt:
        print("mhsa: interrupted; nothing was concluded", file=sys.stderr)
        return 2
    except BrokenPipeError:  # `mhsa properties | head`
        sys.stderr.close()
        return 2
    except Exception as error:  # an error of ours must not look like a verdict on the subject, which exits with 1
        from mhsa.loading import describe

        print(f"mhsa: internal error, nothing was concluded; please report it: {describe(error)}", file=sys.stderr)
        return 2
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="mhsa",
        description="Know that an attention implementation is right: formal properties, drawn cases, derived bounds.",
        epilog=_EXIT,
    )
    parser.add_argument("--version", action="version", version=f"mhsa {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")

    verify = commands.add_parser(
        "verify",
        help="verify implementations against the properties",
        description="Verify implementations. Without SUBJECT the reference is verified.",
        epilog="examples: mhsa verify model.py; mhsa verify torch.nn:MultiheadAttention -k masks; " + _EXIT,
    )
    add = verify.add_argument
    add("subjects", nargs="*", metavar="SUBJECT",
        help="package.module:attr or path/file.py[:attr]: an nn.Module class or object, a factory, a function on "
        "[B, H, T, d], or an mhsa.Adapter")  # fmt: skip
    sizes = ", ".join(f"{name} {n}" for name, n in PROFILES.items())
    add(
        "--profile",
        choices=list(PROFILES),
        default="quick",
        help=f"most cases per property: {sizes} (default: quick, which leaves out slow properties unless -k names them)",
    )
    add("--seed", type=_whole, metavar="N",
        help="seed of the cases (default: 0; thorough draws a new one and prints it)")  # fmt: skip
    add("--dtype", action="append", metavar="DTYPE", type=_dtype, default=[],
        help=f"one of {', '.join(DTYPES)}; repeatable (default: float64 and float32)")  # fmt: skip
    add("--device", default="cpu", help="where to run: cpu (default), cuda, cuda:1, ...")
    add("-k", dest="keyword", default="", metavar="EXPR",
        help="only properties whose id matches, as in pytest: 'masks', 'masks and not row', 'oracle.output'")  # fmt: skip
    add("-x", dest="exit_first", action="store_true", help="end each subject at its first failure")
    add("-n", dest="workers", type=_whole, default=1, metavar="N",
        help="worker processes; pays from the ci profile on (default: 1)")  # fmt: skip
    add("--json", type=Path, metavar="FILE", help="write the results there (format: docs/json.md)")
    add("--no-color", action="store_true", help="plain text, also on a terminal")
    verify.set_defaults(run=_verify)

    properties = commands.add_parser(
        "properties",
        help="list the properties",
        description="List the properties: id and summary. With NAME, show those whose id contains it in full.",
    )
    properties.add_argument("name", nargs="?", metavar="NAME", default="", help="part of an id, or a whole one")
    properties.add_argument("--json", action="store_true", help="as JSON")
    properties.add_argument("--markdown", action="store_true", help="as the page docs/properties.md")
    properties.set_defaults(run=_properties)
    return parser


def _verify(given: argparse.Namespace) -> int:
    from rich.console import Console

    from mhsa.catalogue import catalogue
    from mhsa.results import exit_code, write_json
    from mhsa.runner import CannotRun, Options, run
    from mhsa.terminal import Progress, print_header, print_subject

    seed = given.seed if given.seed is not None else secrets.randbelow(2**32) if given.profile == "thorough" else 0
    options = Options(
        subjects=tuple(dict.fromkeys(given.subjects)) or (REFERENCE,),
        profile=given.profile,
        seed=seed,
        dtypes=tuple(dict.fromkeys(given.dtype)),
        device=given.device,
        keyword=given.keyword,
        exit_first=given.exit_first,
        workers=given.workers,
    )
    if given.json is not None and not given.json.resolve().parent.is_dir():
        _refuse(f"--json {given.json}: there is no folder {given.json.resolve().parent}")
    known = {p.id: p for p in catalogue()}
    console = Console(no_color=given.no_color or None, highlight=False)
    environment = _environment(options.dtypes or DEFAULT_DTYPES, options.device, options.profile, seed)
    print_header(console, environment)
    try:
        with Progress(console, options, len(known)) as progress:
            results = run(options, progress)
    except CannotRun as error:
        _refuse(str(error))
    for result in results:
        print_subject(console, result, options, known)
    if given.json is not None:
        try:
            write_json(given.json, results, environment)
        except OSError as error:
            _refuse(f"--json {given.json}: {error.strerror}")
    return exit_code(results)


def _properties(given: argparse.Namespace) -> int:
    from mhsa.catalogue import catalogue

    every = catalogue()
    if given.markdown:
        from mhsa.handbook import handbook

        if given.name or given.json:
            _refuse("--markdown writes the whole page; give neither NAME nor --json with it")
        print(handbook(every), end="")
        return 0
    chosen = [p for p in every if given.name in p.id]
    if not chosen:
        import difflib

        near = difflib.get_close_matches(given.name, [p.id for p in every] + [p.id.partition(".")[2] for p in every], n=1)
        _refuse(f"no property has {given.name!r} in its id" + (f"; did you mean {near[0]}?" if near else ""))
    if given.json:
        print(json.dumps([asdict(p) for p in chosen], indent=2))
        return 0
    if given.name:
        for p in chosen:
            print(f"{p.id}\n  {p.summary}\n")
            for title, text in (
                ("statement", p.statement),
                ("requires", p.requires),
                ("source", p.source),
                ("breaks it", p.breaks),
            ):
                print(f"  {title:<10} {text}")
            print()
        return 0
    width = max(len(p.id) for p in chosen)
    for p in chosen:
        print(f"{p.id:<{width}}  {p.summary}")
    print(f"\n{len(chosen)} properties; mhsa properties NAME shows one in full")
    return 0


def _environment(dtypes: tuple[str, ...], device: str, profile: str, seed: int) -> dict[str, Any]:
    """Versions and conditions; read from package metadata, so nothing heavy is imported."""
    versions = {name: importlib.metadata.version(name) for name in ("torch", "numpy", "hypothesis")}
    return {
        "mhsa": __version__,
        "python": platform.python_version(),
        **versions,
        "device": device,
        "dtypes": "+".join(dtypes),
        "profile": profile,
        "seed": seed,
    }


def _whole(text: str) -> int:
    try:
        number = int(text)
    except ValueError:
        number = -1
    if number < 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least 0")
    return number


def _dtype(text: str) -> str:
    name = text.removeprefix("torch.")
    if name not in DTYPES:
        raise argparse.ArgumentTypeError(f"{text!r} is not one of {', '.join(DTYPES)}")
    return name


def _refuse(message: str) -> NoReturn:
    print(f"mhsa: {message}", file=sys.stderr)
    raise SystemExit(2)


if __name__ == "__main__":
    sys.exit(main())
