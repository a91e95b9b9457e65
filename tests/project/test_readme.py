"""The README's blocks run and are what they promise to be."""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import requests
from PIL import Image

import nucleus_pandas as npd
from nucleus_pandas import sample
from nucleus_pandas.api.client import HOSTED
from nucleus_pandas.cli import main
from nucleus_pandas.server import serve
from tests.support.paths import ROOT
from tests.support.private import session_of, transport_of

pytestmark = pytest.mark.smoke

README = ROOT / "README.md"


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
    evaluation, compared = names["evaluation"], names["compared"]
    assert evaluation.counts.loc["car", ["TP", "FP", "FN"]].tolist() == [1, 0, 0]  # type: ignore[attr-defined]
    assert evaluation.by("metadata.weather")["TP"].to_dict() == {"rain": 1, "sun": 0}  # type: ignore[attr-defined]
    assert f"# AP {compared.summary['difference']['AP']:+.3f};" in README.read_text()  # type: ignore[attr-defined]
    assert names["result"].rows["status"].tolist() == ["new", "skipped"]  # type: ignore[attr-defined]
    imported = names["imported"]
    told = [getattr(imported, name) for name in ("new", "ignored", "skipped", "failed", "already_sent")]
    assert f"imported.already_sent  # {tuple(told)}" in README.read_text()
    assert len(names["ground_truth"]) == 3  # type: ignore[arg-type]
    assert len(names["dataset"]) == 5  # type: ignore[arg-type]
    names["client"].close()  # type: ignore[attr-defined]


def test_the_results_of_an_evaluation_it_names_exist() -> None:
    section = README.read_text().partition("### How good is it?")[2].partition("\n### ")[0]
    named = set(re.findall(r"`(\w+)(?:\(\))?`", section)) | set(re.findall(r"evaluation\.(\w+)", section))
    assert {"pr_curve", "suspects", "summary", "by"} <= named
    assert named <= set(dir(npd.Evaluation))


def test_the_matchers_it_tells_are_those_of_an_evaluation() -> None:
    told = {matcher: behind for matcher, behind, _ in rows_of("matcher |")}
    empty = pd.DataFrame(columns=["reference_id", "label", "x", "y", "width", "height", "confidence"])
    matchers = npd.evaluate(empty, empty).matchers
    assert set(told) == set(matchers.values())
    for name, matcher in matchers.items():
        assert name in re.findall(r"\w+", told[matcher]), name


def test_twelve_lines_lead_from_a_frame_to_its_matches() -> None:
    lines = [line for line in blocks("python")[0].splitlines() if line and not line.startswith("import ")]
    assert len(lines) <= 12
    assert ".nucleus.append(" in "".join(lines)
    assert "run.matches(" in lines[-1]


def test_the_commands_it_names_exist() -> None:
    for command in set(re.findall(r"nucleus-pandas (\w+)", README.read_text())):
        with pytest.raises(SystemExit) as ended:
            main([command, "--help"])
        assert ended.value.code == 0


def rows_of(table: str) -> list[list[str]]:
    """The rows of the table whose header begins so, without backquotes."""
    text = README.read_text()
    lines = text[text.index(f"| {table}") :].split("\n\n")[0].splitlines()
    return [[cell.strip().strip("`") for cell in line.strip("|").split("|")] for line in lines[2:]]


def variables() -> set[str]:
    """The environment variables that the package reads."""
    package = Path(npd.__file__).parent
    return {name for file in package.rglob("*.py") for name in re.findall(r"\bNUCLEUS_[A-Z_]+\b", file.read_text())}


def test_the_arguments_of_the_client_are_told() -> None:
    told = {argument: (variable, default) for argument, variable, default, _ in rows_of("Argument of")}
    parameters = dict(inspect.signature(npd.NucleusClient).parameters)
    assert list(told) == list(parameters)
    for name, parameter in parameters.items():
        default = HOSTED if name == "endpoint" else parameter.default
        assert told[name][1] == ("" if default is None else str(default))


def test_the_options_of_serve_are_told(capsys: pytest.CaptureFixture[str]) -> None:
    told = {option: default for option, _, default, _ in rows_of("Option of `nucleus-pandas serve`")}
    with pytest.raises(SystemExit):
        main(["serve", "--help"])
    text = capsys.readouterr().out
    assert set(told) - {"path"} == set(re.findall(r"--[a-z-]+", text)) - {"--help"}
    parameters = inspect.signature(serve).parameters
    for option, name in (("--host", "host"), ("--port", "port"), ("--request-seconds", "request_seconds")):
        assert told[option] == str(parameters[name].default)
        assert f"({told[option]})" in " ".join(text.split())


def test_the_variables_of_the_environment_are_told() -> None:
    told = {
        row[1]
        for table in ("Argument of", "Option of `import`", "Option of `nucleus-pandas serve`")
        for row in rows_of(table)
    } - {""}
    assert told == variables()


@pytest.mark.filterwarnings("ignore:NUCLEUS_SKIP_SSL_VERIFY is set")
@pytest.mark.parametrize("variable", [row[1] for row in rows_of("Argument of") if row[1]])
def test_a_variable_stands_for_its_argument(variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    values = {"NUCLEUS_API_KEY": "secret", "NUCLEUS_ENDPOINT": "http://127.0.0.1:1/v1/nucleus"}
    values["NUCLEUS_SKIP_SSL_VERIFY"] = "1"
    monkeypatch.setenv("NUCLEUS_ENDPOINT", HOSTED)
    monkeypatch.setenv(variable, values[variable])
    client = npd.NucleusClient()
    sent: list[tuple[requests.PreparedRequest, object]] = []

    def send(request: requests.PreparedRequest, **settings: object) -> requests.Response:
        sent.append((request, settings["verify"]))
        response = requests.Response()
        response.status_code, response._content = 200, b"[]"
        return response

    monkeypatch.setattr(session_of(client), "send", send)
    client.list_datasets()
    ((request, verify),) = sent
    assert transport_of(client).endpoint == (values[variable] if variable == "NUCLEUS_ENDPOINT" else HOSTED)
    assert ("Authorization" in request.headers) == (variable == "NUCLEUS_API_KEY")
    assert (verify is False) == (variable == "NUCLEUS_SKIP_SSL_VERIFY")


def test_three_lines_tell_hosted_from_embedded(served: str, store: Path, tmp_path: Path) -> None:
    lines = rows_of("| Scale's hosted")
    assert [line[0] for line in lines] == ["install", "before", "client"]
    hosted, local, other = lines[2][1:]
    assert transport_of(eval(hosted.replace("()", "('key')"))).endpoint == HOSTED
    clients = [
        eval(local.replace("my_store", str(tmp_path / "my_store"))),
        eval(re.sub(r'"http:[^"]*"', repr(served), other)),
    ]
    rest = blocks("python")[0].split("\n", 4)
    assert "client = " in rest[3]
    frames = []
    for client in clients:
        names: dict[str, Any] = {"client": client}
        exec("\n".join([*rest[:3], rest[4]]), names)
        frames.append(names["matches"].drop(columns="dataset_item_id"))
        client.close()
    pd.testing.assert_frame_equal(*frames)


def test_the_images_that_it_shows_are_there() -> None:
    shown = re.findall(r"!\[(.+?)\]\((.+?)\)", README.read_text())
    assert shown
    for words, path in shown:
        assert len(words.split()) > 3
        with Image.open(README.parent / path) as image:
            assert image.width >= 800


def test_the_labels_that_it_shows_have_these_numbers() -> None:
    truth, photographs = sample.ground_truth(), sample.items()
    careful, eager = (sample.detections(name).nucleus.evaluate(truth, items=photographs) for name in sample.DETECTORS)
    compared = careful.compare(eager).per_class
    shown = rows_of("label | AP")
    frequent = careful.per_class["ground_truths"].sort_values(ascending=False)
    assert [row[0] for row in shown] == frequent.index[:5].tolist()
    for label, ap, other, difference, *counts in shown:
        found = compared.loc[label]
        assert [ap, other, difference] == [
            f"{found['AP']:.3f}",
            f"{found['AP_other']:.3f}",
            f"{found['AP_difference']:+.3f}",
        ]
        assert list(map(int, counts)) == [int(found[name]) for name in ("TP", "TP_other", "won", "lost")]
