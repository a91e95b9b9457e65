"""The environment at the lower bounds of setup.cfg holds exactly those versions."""

from __future__ import annotations

import re
from importlib.metadata import version

import pytest

from tests.support.paths import ROOT
from tests.tools.lower_bounds import lower_bounds


@pytest.mark.oldest
@pytest.mark.parametrize(("name", "bound"), lower_bounds(ROOT / "setup.cfg").items())
def test_the_lower_bound_is_installed(name: str, bound: str) -> None:
    assert re.fullmatch(rf"{re.escape(bound)}(\.0)*", version(name))
