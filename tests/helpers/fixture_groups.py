"""Which tests a worker gets together: those that share a fixture of their file or class, so that it is made once.

xdist's own ``--dist loadgroup`` writes the group into a test's id, which pytest 9.2 does not let it change: every test is
then a group by itself, and a fixture of a file is made by each worker. The groups are read from the source here, because
the process that hands out the tests collects none.
"""

import ast
import functools
from pathlib import Path

from xdist.scheduler import LoadScopeScheduling

_WIDE = ("class", "module")  # a fixture of a session is made by each worker, whatever the groups


class ByFixture(LoadScopeScheduling):
    """Hands out groups, the largest first, and every other test by itself."""

    def _split_scope(self, nodeid: str) -> str:
        return group_of(nodeid, Path(self.config.rootpath))


def group_of(nodeid: str, root: Path) -> str:
    """Return the name of a test's group, its own id where it shares nothing."""
    path, *outer, test = nodeid.partition("[")[0].split("::")
    scope = _scopes(root / path).get("::".join([*outer, test]), "")
    return {"module": path, "class": "::".join([path, *outer])}.get(scope, nodeid)


@functools.cache
def _scopes(path: Path) -> dict[str, str]:
    """Return the widest scope, of class and module, among the fixtures of each test of a file."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    functions = dict(_functions(tree.body, ""))
    fixtures = {name.rpartition("::")[2]: (_scope(f), _needs(f)) for name, f in functions.items() if _scope(f) is not None}

    def widest(needs: set[str], seen: frozenset[str] = frozenset()) -> str:
        scopes = {""}
        for name in (needs & fixtures.keys()) - seen:
            own, more = fixtures[name]
            scopes |= {own if own in _WIDE else "", widest(more, seen | {name})}
        return max(scopes, key=("", *_WIDE).index)

    return {name: widest(_needs(f)) for name, f in functions.items() if name.rpartition("::")[2].startswith("test")}


def _functions(body: list[ast.stmt], prefix: str) -> list[tuple[str, ast.FunctionDef]]:
    """Return the functions of a file and of its classes, by the names that stand in ids."""
    found: list[tuple[str, ast.FunctionDef]] = []
    for node in body:
        if isinstance(node, ast.FunctionDef):
            found.append((prefix + node.name, node))
        elif isinstance(node, ast.ClassDef):
            found += _functions(node.body, f"{prefix}{node.name}::")
    return found


def _needs(function: ast.FunctionDef) -> set[str]:
    """Return the names of the fixtures that a test or a fixture asks for, by its arguments or by a mark."""
    named = {a.arg for a in (*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs)}
    marks = [d for d in function.decorator_list if isinstance(d, ast.Call) and ast.unparse(d.func).endswith("usefixtures")]
    return named | {a.value for mark in marks for a in mark.args if isinstance(a, ast.Constant) and isinstance(a.value, str)}


def _scope(function: ast.FunctionDef) -> str | None:
    """Return the scope of a fixture, None of what is none."""
    for decorator in function.decorator_list:
        call = decorator if isinstance(decorator, ast.Call) else None
        if ast.unparse(call.func if call else decorator).endswith("fixture"):
            given = next((k.value for k in call.keywords if k.arg == "scope"), None) if call else None
            return str(given.value) if isinstance(given, ast.Constant) else "function"
    return None
