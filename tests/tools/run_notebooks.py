"""
Run the notebooks anew, and store what they show: ``python -m tests.tools.run_notebooks [NAME …]``.

Stored are sources and outputs, without times, counts of other runs, and names of this machine. The tests run them
again and compare the texts.
"""

from __future__ import annotations

import asyncio
import os
import re
import sys
import tempfile
from typing import Any

from tests.support.paths import NOTEBOOKS, ROOT

FOLDER = NOTEBOOKS
NAMES = ("quickstart", "analysis", "parquet_import")
_METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}
_OBJECT = re.compile(r" at 0x[0-9a-f]+")


def read(name: str) -> Any:
    """Read a stored notebook."""
    import nbformat

    return nbformat.read(FOLDER / f"{name}.ipynb", as_version=4)


def run(name: str) -> Any:
    """Run a notebook in a kernel of its own, in its folder."""
    from nbclient import NotebookClient

    notebook = read(name)
    paths = [str(ROOT), os.environ.get("PYTHONPATH", "")]
    with tempfile.TemporaryDirectory() as sockets:
        place = {"metadata": {"path": str(FOLDER)}}
        client = NotebookClient(notebook, timeout=300, kernel_name="python3", resources=place)
        kernel = client.create_kernel_manager()
        kernel.transport, kernel.ip = "ipc", f"{sockets}/kernel"  # not by ports, which others on the machine could open
        inherited = {name: value for name, value in os.environ.items() if name != "MPLBACKEND"}  # plots show themselves
        # in a loop of its own, which is closed: that of execute() leaves its sockets to the garbage collector
        asyncio.run(client.async_execute(env={**inherited, "PYTHONPATH": os.pathsep.join(filter(None, paths))}))
    return cleaned(notebook)


def cleaned(notebook: Any) -> Any:
    """Leave out what differs from run to run."""
    import nbformat

    notebook.metadata = nbformat.from_dict(_METADATA)
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    for number, cell in enumerate(notebook.cells, start=1):
        cell.id, cell.metadata = f"cell-{number:02}", nbformat.from_dict({})
        for output in cell.get("outputs", ()):
            if "metadata" in output:
                output.metadata = nbformat.from_dict({})
            for kind, text in output.get("data", {}).items():
                if kind == "text/plain":
                    output.data[kind] = _OBJECT.sub("", text)
        cell.pop("attachments", None)
    return notebook


def texts(notebook: Any) -> list[list[str]]:
    """Return what each cell says, without images and markup."""
    said = []
    for cell in notebook.cells:
        outputs = cell.get("outputs", ())
        said.append([str(output.get("text") or output.get("data", {}).get("text/plain", "")) for output in outputs])
    return said


def main() -> None:
    import nbformat

    for name in sys.argv[1:] or NAMES:
        notebook = run(name)
        nbformat.validate(notebook)
        path = FOLDER / f"{name}.ipynb"
        nbformat.write(notebook, path)
        print(path.name, path.stat().st_size)


if __name__ == "__main__":
    main()
