"""The package is a handful of rooms on a few levels: imports go down only, those for type checkers too.

Run with ``-s`` to see the levels and what each room imports.
"""

from __future__ import annotations

import ast
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import nucleus_pandas as npd

PACKAGE = Path(npd.__file__).parent
ROOMS, LEVELS, EDGES = 15, 9, 70
RUN_AS_SCRIPT = {"__main__"}
MAY_EXECUTE = {"store"}  # rooms of the server


def modules_of(tree: ast.AST) -> set[str]:
    """Return the modules of the package that are imported anywhere in a file, at run time or for type checkers."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "nucleus_pandas":
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names if alias.name.split(".")[0] == "nucleus_pandas"}
    return names


def room_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def rooms() -> dict[str, set[str]]:
    """Return every room at the top of the package with the rooms that it imports."""
    graph: dict[str, set[str]] = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        imported = {[*name.split("."), "__init__"][1] for name in modules_of(ast.parse(path.read_text("utf-8")))}
        graph.setdefault(room_of(path), set()).update(imported)
    return {room: others - {room} for room, others in graph.items() if room not in RUN_AS_SCRIPT}


def levels(graph: dict[str, set[str]]) -> dict[str, int]:
    """Return the level of every room: one above the highest room that it imports."""
    level: dict[str, int] = {}
    for room in TopologicalSorter(graph).static_order():
        level[room] = 1 + max((level[other] for other in graph[room]), default=0)
    return level


def files() -> dict[str, set[str]]:
    """Return every module with the modules that it imports."""
    known = {}
    for path in PACKAGE.rglob("*.py"):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        known[".".join(["nucleus_pandas", *(part for part in parts if part != "__init__")])] = path
    graph = {}
    for name, path in known.items():
        imported = modules_of(ast.parse(path.read_text("utf-8")))
        graph[name] = {each if each in known else each.rpartition(".")[0] for each in imported} - {name}
    return graph


def test_rooms_are_few_and_imports_go_down_only() -> None:
    graph = rooms()
    level = levels(graph)
    edges = sum(map(len, graph.values()))
    for number in sorted(set(level.values()), reverse=True):
        for room in sorted(room for room in level if level[room] == number):
            print(f"{number:2} {room:12} {' '.join(sorted(graph[room], key=lambda other: -level[other]))}")
    print(f"{len(graph)} rooms, {max(level.values())} levels, {edges} edges")
    assert len(graph) <= ROOMS
    assert max(level.values()) <= LEVELS
    assert edges <= EDGES


def test_no_module_imports_itself_by_way_of_others() -> None:
    try:
        list(TopologicalSorter(files()).static_order())
    except CycleError as error:
        raise AssertionError(" imports ".join(error.args[1])) from None


def test_routes_of_the_server_share_services_and_not_each_other() -> None:
    for room in ("server.routes", "server.web.routes"):
        routes = f"nucleus_pandas.{room}"
        for path in PACKAGE.joinpath(*room.split(".")).glob("[!_]*.py"):
            imported = modules_of(ast.parse(path.read_text("utf-8")))
            others = {name for name in imported if name.startswith(routes) and not name.startswith(f"{routes}.request")}
            assert not others, f"{path.name} imports {sorted(others)}"


def test_only_the_store_executes_sql() -> None:
    for path in sorted((PACKAGE / "server").rglob("*.py")):
        if path.relative_to(PACKAGE / "server").parts[0] in MAY_EXECUTE:
            continue
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            executes = isinstance(node, ast.Attribute) and node.attr in ("execute", "executemany", "executescript")
            assert not executes, f"{path.relative_to(PACKAGE)}:{node.lineno} executes SQL; move it to server/store"
