"""The README's blocks run and are what they promise to be."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

README = Path(__file__).parents[1] / "README.md"


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", README.read_text(), re.MULTILINE | re.DOTALL)


def test_the_first_two_shell_blocks_are_one_command_line_each() -> None:
    demo, tests = blocks("bash")[:2]
    for block in (demo, tests):
        assert block.count("\n") == 1
        assert not block.startswith(("$", ">", "#"))
        assert "git clone" not in block
    assert demo.rstrip().endswith("nucleus-pandas demo")
    assert "pytest" in tests


def test_the_python_blocks_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    for block in blocks("python"):
        exec(compile(block, "README.md", "exec"), names)
    matches = names["matches"]
    assert matches["match_type"].tolist() == ["TP"]  # type: ignore[index]
    assert round(matches["iou"][0], 2) == 0.95  # type: ignore[index]
    assert names["result"].rows["status"].tolist() == ["new", "skipped"]  # type: ignore[attr-defined]
    assert len(names["dataset"]) == 5  # type: ignore[arg-type]
    names["client"].close()  # type: ignore[attr-defined]


def test_the_commands_it_names_exist() -> None:
    from nucleus_pandas.cli import main

    for command in set(re.findall(r"nucleus-pandas (\w+)", README.read_text())):
        with pytest.raises(SystemExit) as ended:
            main([command, "--help"])
        assert ended.value.code == 0
