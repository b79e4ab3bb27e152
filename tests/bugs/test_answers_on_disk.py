"""What known bugs computed is read from the disk by the next process, and never stands in the way."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from mhsa.bugs.diagnosis import answers_on_disk, kept_answers, observe
from mhsa.bugs.diagnosis.answers_on_disk import CACHE, AnswersOnDisk, on_disk
from mhsa.bugs.diagnosis.compared_cases import finely
from mhsa.bugs.diagnosis.crossed_bugs import bug_under, name_of
from mhsa.bugs.diagnosis.match import compare
from mhsa.bugs.diagnosis.quantity import Quantity
from mhsa.bugs.mutants.plain import Plain
from mhsa.bugs.mutants.right_formula import right_under
from mhsa.introspect.resolve import understand
from mhsa.oracle.formula.formula import PLAIN, Formula
from mhsa.records.request import Request
from mhsa.subject.torch_settings import restored
from tests.helpers.places import CORPUS

KNOWN = [
    Quantity("eval output", np.array([[0.1, -np.inf, np.nan], [-0.0, 1e-310, 3.0]])),
    Quantity("backward gradient of key.bias", np.zeros((0, 2)), relative_to=2.5),
    Quantity("eval random numbers drawn", np.array(True)),
]


@pytest.fixture
def store(tmp_path: Path) -> AnswersOnDisk:
    return AnswersOnDisk(tmp_path / "folder" / "answers-0.sqlite")


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv(CACHE, str(tmp_path))
    on_disk.cache_clear()
    yield tmp_path
    on_disk.cache_clear()


def test_what_is_written_is_read_bit_by_bit(store: AnswersOnDisk, tmp_path: Path) -> None:
    assert store.read(b"k") == ([], False)
    store.keep(b"k", KNOWN[:1], False)
    store.write()
    store.keep(b"k", KNOWN, True)
    store.write()
    found, whole = AnswersOnDisk(tmp_path / "folder" / "answers-0.sqlite").read(b"k")
    assert whole
    assert [(q.name, q.relative_to, q.numbers.shape, q.numbers.dtype, q.numbers.tobytes()) for q in found] == [
        (q.name, q.relative_to, q.numbers.shape, q.numbers.dtype, q.numbers.tobytes()) for q in KNOWN
    ]
    assert store.read(b"another") == ([], False)


def test_a_damaged_file_is_as_none(store: AnswersOnDisk, tmp_path: Path) -> None:
    file = tmp_path / "folder" / "answers-0.sqlite"
    file.parent.mkdir()
    file.write_bytes(b"no database" * 1000)
    assert store.read(b"k") == ([], False)
    store.keep(b"k", KNOWN, True)
    store.write()
    assert file.read_bytes() == b"no database" * 1000


def test_a_folder_that_cannot_be_made_is_as_none(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    store = AnswersOnDisk(tmp_path / "file" / "answers-0.sqlite")
    store.keep(b"k", KNOWN, True)
    store.write()
    assert store.read(b"k") == ([], False)


def test_a_full_file_grows_no_more(store: AnswersOnDisk, monkeypatch: pytest.MonkeyPatch) -> None:
    store.keep(b"k", KNOWN, True)
    store.write()
    monkeypatch.setattr(answers_on_disk, "_LARGEST", 0)
    store.keep(b"l", KNOWN, True)
    store.write()
    assert store.read(b"k")[1]
    assert store.read(b"l") == ([], False)


def test_nothing_is_written_after_a_function_or_a_setting_of_torch_was_changed(
    store: AnswersOnDisk, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as changed:
        changed.setattr(torch.nn.functional, "softmax", lambda *_: None)
        store.keep(b"k", KNOWN, True)
        store.write()
    with restored():
        torch.set_default_dtype(torch.float64)
        store.keep(b"k", KNOWN, True)
        store.write()
    store.write()  # nor is it later
    assert store.read(b"k") == ([], False)
    store.keep(b"k", KNOWN, True)
    store.write()
    assert store.read(b"k")[1]


def test_files_of_earlier_states_are_removed(tmp_path: Path) -> None:
    for state in range(5):
        store = AnswersOnDisk(tmp_path / f"answers-{state}.sqlite")
        store.keep(b"k", KNOWN, True)
        store.write()
    assert len(list(tmp_path.iterdir())) == answers_on_disk._FILES
    assert (tmp_path / "answers-4.sqlite").exists()


def test_another_state_has_another_file(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = on_disk()
    on_disk.cache_clear()
    again = on_disk()
    monkeypatch.setattr(torch, "__version__", "9.9")
    on_disk.cache_clear()
    other = on_disk()
    assert first is not None
    assert again is not None
    assert other is not None
    assert first._file == again._file != other._file
    assert first._file.parent == cache


def test_nothing_is_kept_where_the_variable_is_empty(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(CACHE, "")
    on_disk.cache_clear()
    assert on_disk() is None


def test_a_later_process_computes_little_anew_and_finds_the_same(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    computed: list[type[Plain]] = []
    real = observe._ask
    monkeypatch.setattr(observe, "_ask", lambda kind, *more: computed.append(kind) or real(kind, *more))
    subject = finely(understand(Request.of(str(CORPUS / "wrong" / "value_uses_key.py"))))
    first = compare(subject)
    assert first.names == ("ValueThroughKeyMap",)
    assert len(set(computed)) > 200
    computed.clear()
    monkeypatch.setattr(kept_answers, "_answers", type(kept_answers._answers)())  # as in a new process
    assert compare(subject) == first
    assert {kind.__name__ for kind in computed} <= {"Plain", "ValueThroughKeyMap"}  # whose large gradients are not kept


def test_names_of_bugs_are_those_of_every_process_and_different() -> None:
    capped = Formula(softcap=2.0)
    kinds = [
        Plain,
        right_under(capped),
        right_under(Formula(softcap=3.0)),
        *(b.kind for f in (PLAIN, capped) for b in [bug_under("NotScaled", None, f)] if b is not None),
        *(b.kind for v in (-5.0, -7.0) for b in [bug_under("FillOfMinusFive", v, PLAIN)] if b is not None),
    ]
    names = [name_of(kind) for kind in kinds]
    assert len(set(names)) == len(kinds) >= 6
    assert not [name for name in names if name is None or " at 0x" in name]

    class Local(Plain):
        pass

    assert name_of(Local) is None
