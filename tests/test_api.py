"""The public names are exactly those of __all__, each is documented, and imports go downward only."""

from __future__ import annotations

import ast
import inspect
import re
from pathlib import Path
from types import ModuleType
from typing import Any

import pandas as pd
import pytest

import nucleus_pandas as npd

PACKAGE = Path(npd.__file__).parent
# Each may import from those before it; those in one group also from each other.
LAYERS = [
    {"_version", "_compat", "errors", "markup", "workers"},
    {"settings"},
    {"wire", "boxes", "headers", "overlays"},
    {"columns", "results"},
    {"evaluation", "plots"},
    {"formats", "gallery"},
    {"payloads", "pictures"},
    {"checks"},
    {"journal", "keys", "multipart", "transport"},
    {"pages", "resource"},
    {"jobs"},
    {"uploads"},
    {"views"},
    {"assessment", "examples", "management", "matches", "served"},
    {"parquet"},
    {"models", "runs"},
    {"slices"},
    {"selecting"},
    {"datasets"},
    {"client"},
    {"frames"},
    {"accessor"},
    {"sample"},
    {"demo"},
    {"cli"},
]
LOCAL = {"wire", "boxes", "headers", "overlays", "errors", "evaluation", "_version", "local"}
LAZY = {"client", "cli"}  # may import the embedded Nucleus, inside a function


def modules() -> list[tuple[str, Path]]:
    found = []
    for path in sorted(PACKAGE.rglob("*.py")):
        part = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
        if part != "__init__":
            found.append((part, path))
    return found


def imported(tree: ast.AST) -> set[str]:
    """The parts of the package that are imported anywhere below a node."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("nucleus_pandas"):
            parts = (node.module or "").split(".")
            names |= {parts[1]} if len(parts) > 1 else {alias.name for alias in node.names}
        elif isinstance(node, ast.Import):
            names |= {alias.name.split(".")[1] for alias in node.names if alias.name.startswith("nucleus_pandas.")}
    return names


def runtime_tree(path: Path) -> ast.Module:
    """A module without what only type checkers read."""
    tree = ast.parse(path.read_text())
    tree.body = [
        node for node in tree.body if not (isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING")
    ]
    return tree


def test_all_is_sorted_and_complete() -> None:
    public = {
        name for name, value in vars(npd).items() if not name.startswith("_") and not isinstance(value, ModuleType)
    }
    assert public | {"__version__"} == set(npd.__all__)
    assert npd.__all__ == sorted(npd.__all__)


@pytest.mark.parametrize("name", [name for name in npd.__all__ if name != "__version__"])
def test_every_public_name_is_documented(name: str) -> None:
    thing = getattr(npd, name)
    assert inspect.getdoc(thing)
    for member, value in vars(thing).items():
        if not member.startswith("_") and (callable(value) or isinstance(value, (property, classmethod))):
            assert inspect.getdoc(value), member


@pytest.mark.parametrize("name", ["append", "annotate", "predict", "check", "evaluate", "show"])
def test_the_accessor_offers_its_methods_with_every_argument_explained(name: str) -> None:
    accessor = pd.DataFrame({"a": [1]}).nucleus
    assert [member for member in dir(accessor) if not member.startswith("_")] == [
        "annotate",
        "append",
        "check",
        "evaluate",
        "predict",
        "show",
    ]
    method, function = getattr(accessor, name), getattr(npd, name)
    others = list(inspect.signature(function).parameters.values())[1:]
    assert list(inspect.signature(method).parameters.values()) == others
    assert method.__name__ == name
    assert method.__doc__ == function.__doc__
    for parameter in others:
        assert re.search(rf"^    {parameter.name} : .+\n        \S", method.__doc__, re.MULTILINE), parameter.name
        assert parameter.annotation != inspect.Parameter.empty


@pytest.mark.parametrize(
    ("function", "method"),
    [(npd.append, npd.Dataset.append), (npd.annotate, npd.Dataset.annotate), (npd.predict, npd.ModelRun.predict)],
)
def test_a_function_takes_the_arguments_of_its_method(function: Any, method: Any) -> None:
    own, others = (inspect.signature(each).parameters for each in (function, method))
    assert [(name, own[name].default, own[name].annotation) for name in list(own)[2:]] == [
        (name, others[name].default, others[name].annotation) for name in list(others)[2:]
    ]
    assert all(own[name].kind is inspect.Parameter.KEYWORD_ONLY for name in list(own)[2:])


@pytest.mark.parametrize(("part", "path"), modules(), ids=lambda value: str(value).replace(str(PACKAGE), ""))
def test_imports_go_downward_only(part: str, path: Path) -> None:
    tree = runtime_tree(path)
    if part == "local":
        assert imported(tree) <= LOCAL
        return
    level = next(number for number, names in enumerate(LAYERS) if part in names)
    below = set().union(*LAYERS[: level + 1])
    everything = imported(tree)
    if part in LAZY:
        at_top = set().union(*(imported(node) for node in tree.body if isinstance(node, (ast.Import, ast.ImportFrom))))
        assert "local" not in at_top
        everything -= {"local"}
    assert everything <= below


def test_errors_have_one_root() -> None:
    errors = [
        value
        for value in vars(npd).values()
        if isinstance(value, type) and issubclass(value, Exception) and value is not npd.NucleusWarning
    ]
    assert errors
    assert all(issubclass(error, npd.NucleusError) for error in errors)
    assert all(error.__name__ in str(inspect.getdoc(inspect.getmodule(npd.NucleusError))) for error in errors)


def test_importing_the_package_does_not_load_the_server() -> None:
    import subprocess
    import sys

    code = "import sys, nucleus_pandas; sys.exit(any(m in sys.modules for m in ('flask', 'lark', 'waitress', 'PIL')))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
