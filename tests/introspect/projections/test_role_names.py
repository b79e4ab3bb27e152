"""Names of parameters say which map they are, glued, in a wrapper, or with a word of what a map is."""

import pytest

from mhsa.introspect.projections.role_names import named_roles


@pytest.mark.parametrize(
    ("path", "roles"),
    [
        ("qtrans.weight", ("query",)),
        ("vmap.weight", ("value",)),
        ("to_kv.weight", ("key", "value")),
        ("query_conv.out.weight", ("query",)),
        ("mem_conv.out.weight", ()),
        ("attention.out.weight", ("out",)),
        ("out_proj.weight", ("out",)),
        ("ffn.0.weight", ()),
    ],
)
def test_a_name_says_its_roles(path: str, roles: tuple[str, ...]) -> None:
    assert named_roles(path) == roles
