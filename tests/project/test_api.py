"""The public names are exactly those of __all__, and each is documented."""

from __future__ import annotations

import inspect
import re
from types import ModuleType
from typing import Any

import pandas as pd
import pytest

import nucleus_pandas as npd

pytestmark = pytest.mark.smoke


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
        assert re.search(rf"^{parameter.name} : .+\n    \S", inspect.getdoc(method) or "", re.M), parameter.name
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
