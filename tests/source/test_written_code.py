"""Which classes and functions have a source that is looked at."""

from torch import nn

from mhsa.source.written_code import nodes_of, parsed_owners, written_owners


class _Base:
    pass


class _Layer(_Base, nn.Linear):
    pass


def _indented() -> type:
    class Inner(_Base):
        text = """
flush left, so that the class cannot be taken out of its function"""

    return Inner


def test_a_class_and_its_bases_but_none_of_torchs() -> None:
    assert list(written_owners(_Layer)) == list(parsed_owners(_Layer)) == [_Layer, _Base]


def test_a_function_is_alone() -> None:
    assert list(written_owners(_indented)) == list(parsed_owners(_indented)) == [_indented]


def test_what_has_no_source_is_left_out() -> None:
    bare = type("Bare", (_Base,), {})
    assert list(written_owners(bare)) == list(parsed_owners(bare)) == [_Base]
    assert not list(written_owners(len))
    assert not list(written_owners(nn.Linear))


def test_what_does_not_stand_alone_is_written_and_not_parsed() -> None:
    inner = _indented()
    assert list(written_owners(inner)) == [inner, _Base]
    assert list(parsed_owners(inner)) == [_Base]
    assert all(nodes_of(owner) for owner in parsed_owners(inner))
