"""Notebooks: they run, show what is stored, and say what they show."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from tests.support.paths import NOTEBOOKS

pytestmark = pytest.mark.newest

FOLDER = NOTEBOOKS
_ENCODED = re.compile(r"[A-Za-z0-9+/=\\n]{200,}")  # images


@pytest.fixture(scope="module", params=sorted(path.stem for path in FOLDER.glob("*.ipynb")))
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def run_notebooks() -> Any:
    """What runs notebooks; it needs packages that only the newest environment has."""
    from tests.tools import run_notebooks

    return run_notebooks


@pytest.fixture(scope="module")
def stored(run_notebooks: Any, name: str) -> Any:
    """A notebook as it is in the repository."""
    return run_notebooks.read(name)


def test_the_three_notebooks_are_there(run_notebooks: Any) -> None:
    assert {path.stem for path in FOLDER.glob("*.ipynb")} == set(run_notebooks.NAMES)


def test_a_notebook_runs_and_shows_what_is_stored(run_notebooks: Any, name: str, stored: Any) -> None:
    anew = run_notebooks.run(name)
    assert [cell.source for cell in anew.cells] == [cell.source for cell in stored.cells]
    for cell, found, expected in zip(stored.cells, run_notebooks.texts(anew), run_notebooks.texts(stored), strict=True):
        assert found == expected, cell.source
    assert [kinds(cell) for cell in anew.cells] == [kinds(cell) for cell in stored.cells]


def kinds(cell: Any) -> list[list[str]]:
    """What the outputs of a cell are: texts, tables, images; nothing is written to stderr, no error is stored."""
    outputs = cell.get("outputs", ())
    assert not [one for one in outputs if one.output_type == "error" or one.get("name") == "stderr"]
    return [sorted(one.get("data", ())) for one in outputs]


def test_every_cell_ran_once_in_order(stored: Any) -> None:
    counts = [cell.execution_count for cell in stored.cells if cell.cell_type == "code"]
    assert counts == list(range(1, len(counts) + 1))


def test_nothing_tells_of_the_machine_or_of_the_time(run_notebooks: Any, name: str, stored: Any) -> None:
    text = _ENCODED.sub("", json.dumps(stored))
    assert not re.findall(r"/(?:tmp|home|root|Users|var|opt|mnt)/|[A-Z]:\\\\|\bds_[0-9a-f]{6}|\bdi_[0-9a-f]{6}", text)
    assert stored == run_notebooks.cleaned(run_notebooks.read(name))
    assert (FOLDER / f"{name}.ipynb").stat().st_size < 1_000_000


def test_numbers_in_sentences_are_those_that_are_shown(run_notebooks: Any, name: str, stored: Any) -> None:
    """Numbers with decimals, and whole ones from 10 on: what a sentence says of the data is computed beside it."""
    shown = " ".join(text for texts in run_notebooks.texts(stored) for text in texts)
    sources = " ".join(cell.source for cell in stored.cells if cell.cell_type == "code")
    known = set(numbers(shown)) | set(numbers(sources)) | _GIVEN[name]
    for cell in stored.cells:
        if cell.cell_type == "markdown":
            said = numbers(re.sub(r"`[^`]*`|\([^)]*://[^)]*\)", "", cell.source))
            assert not [number for number in said if number not in known], cell.source


_GIVEN = {
    "quickstart": {"2017", "2.0"},  # COCO 2017, CC BY 2.0
    "analysis": {"2012", "17"},  # VOC 2012; counted by eye
    "parquet_import": {"2012", "135,600"},  # VOC 2012; shown without its comma
}


def numbers(text: str) -> list[str]:
    found = re.findall(r"(?<![\w.])\d[\d,]*(?:\.\d+)?(?![\w]*[A-Za-z_])", text)
    return [number.rstrip(",") for number in found if "." in number or len(number.rstrip(",")) > 1]
