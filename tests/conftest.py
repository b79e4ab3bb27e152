"""Shared: the fork server, the command line, and one way to judge subjects by chosen properties."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mhsa.records.catalogue import catalogue, properties_folder, property_id
from mhsa.run.fork_client import SERVER, Process, start_server
from mhsa.run.sandbox import child_environment
from tests.helpers.command_line import run_here, run_mhsa
from tests.helpers.fixture_groups import ByFixture
from tests.helpers.more import is_in_part, mark, may_have, part_of
from tests.helpers.places import CORPUS, ROOT

os.environ.setdefault("OMP_NUM_THREADS", "1")  # cases are small: threads would only wait for each other, ten times as long


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> object:
    """Unless another distribution is requested, hand out tests by the fixtures that they share."""
    return ByFixture(config, log) if config.getvalue("dist") == "load" else None


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """With -m more, import no file that has no such test: it takes as long as ten of the tests."""
    if config.option.markexpr != "more" or not collection_path.is_relative_to(ROOT / "tests"):
        return None
    file = collection_path.relative_to(ROOT / "tests").as_posix()
    return None if file == "." or may_have(file) else True


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--part", type=part_of, metavar="K/N", help="of the tests with the marker more, the K-th of N parts")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Before -m chooses."""
    mark(items)
    if (part := config.getoption("--part")) is not None:
        others = [item for item in items if item.get_closest_marker("more") and not is_in_part(item.nodeid, part)]
        config.hook.pytest_deselected(items=others)
        items[:] = [item for item in items if item not in set(others)]


@pytest.fixture(scope="session", autouse=True)
def fork_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """One server for the processes of all runs of this worker; a test that needs new ones deletes the variable."""
    place = str(tmp_path_factory.mktemp("fork") / "socket")
    if sys.platform != "linux" or SERVER in os.environ:  # where it is empty, every process is started anew
        yield os.environ.get(SERVER, "")
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as source:
        source.bind(place)
        source.listen(64)
        server = start_server(source, child_environment(Path(place).parent))
    os.environ[SERVER] = place
    yield place
    del os.environ[SERVER]
    server.kill()
    server.wait()


@pytest.fixture(autouse=True)
def same_variables(fork_server: str) -> Iterator[None]:
    """Put back what a test's own process sets (torch's compiler names its caches so): a forked child has the server's."""
    before = dict(os.environ)
    yield
    for name in {*before, *os.environ} - {"PYTEST_CURRENT_TEST"}:
        if name not in before:
            del os.environ[name]
        elif os.environ.get(name) != before[name]:
            os.environ[name] = before[name]


@pytest.fixture(autouse=True)
def same_imports(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Forget the modules that a test wrote and imported: the next one may write others of these names."""
    modules, path = set(sys.modules), list(sys.path)
    yield
    sys.path[:] = path
    written = str(tmp_path_factory.getbasetemp())
    for name in set(sys.modules) - modules:
        if str(getattr(sys.modules[name], "__file__", "")).startswith(written):
            del sys.modules[name]


@pytest.fixture
def mhsa():
    return run_here


@pytest.fixture
def mhsa_anew():
    """The command line as a process of its own, whose processes are started anew, too: as users have it."""

    def run(*arguments: object, **given: str) -> subprocess.CompletedProcess[str]:
        return run_mhsa(*arguments, **given, **{SERVER: ""})

    return run


@pytest.fixture
def corpus() -> Path:
    return CORPUS


@pytest.fixture
def root() -> Path:
    """The repository, for files that are subjects, too: where those are judged, tests.helpers cannot be imported."""
    return ROOT


@pytest.fixture(scope="session")
def judge_pairs(tmp_path_factory: pytest.TempPathFactory) -> Callable[[set[tuple[str, str]]], dict[tuple[str, str], str]]:
    """A function that judges pairs (subject, property) in one run of the quick profile, and returns their outcomes."""

    def judge(wanted: set[tuple[str, str]]) -> dict[tuple[str, str], str]:
        folder = tmp_path_factory.mktemp("pairs")
        subjects = sorted({subject for subject, _ in wanted})
        skip = [[n, p.id] for n, s in enumerate(subjects, 1) for p in catalogue() if (s, p.id) not in wanted]
        (folder / "skip.json").write_text(json.dumps(skip))
        # -k "" would leave the slow ones out; this expression selects everything.
        (folder / "pytest.ini").write_text("[pytest]\n")
        command = [sys.executable, "-P", "-m", "pytest", "-p", "no:cacheprovider", "-p", "mhsa.judge.plugin",
                   "-p", "pytest_reportlog.plugin", "-p", "no:logging", "-q", str(properties_folder()), "-k", "test_", "-c",
                   str(folder / "pytest.ini"), "--rootdir", str(properties_folder()),
                   "--report-log", str(folder / "log.jsonl"), "--attention-skip", str(folder / "skip.json"), "--no-summary",
                   "--attention-no-shrink", *(f"--attention={s}" for s in subjects)]  # fmt: skip
        with open(os.devnull, "rb") as nothing, (folder / "said").open("wb") as said:
            Process(command, child_environment(folder), (nothing.fileno(), said.fileno(), said.fileno())).wait(900)
        found = {}
        for line in (folder / "log.jsonl").read_text().splitlines():
            event = json.loads(line)
            said = dict(event.get("user_properties", ()))
            if "mhsa" in said:
                found[subjects[said["mhsa"]["number"] - 1], property_id(event["nodeid"])] = said["mhsa"]["outcome"]
        return found

    return judge
