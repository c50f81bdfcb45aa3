"""Runs notebooks and saves their outputs in place: python book/_ext/execute.py NOTEBOOK...

The same notebook gives the same file, byte for byte, wherever its outputs are the same: no times,
no names of machines, no versions. A notebook that fails is left as it was.
"""

import os
import sys
from pathlib import Path

import nbformat
from nbclient import NotebookClient

METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}


def execute(path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    client = NotebookClient(
        notebook, timeout=600, record_timing=False, coalesce_streams=True,
        resources={"metadata": {"path": str(path.parent)}},
    )  # fmt: skip
    client.execute()
    page = {key: notebook.metadata[key] for key in ("myst",) if key in notebook.metadata}
    notebook.metadata = nbformat.from_dict(METADATA | page)
    for number, cell in enumerate(notebook.cells):
        cell["id"] = f"cell-{number:02d}"
        cell.metadata.pop("execution", None)  # times of day, if an editor left them
    draft = path.with_suffix(".draft")
    nbformat.write(notebook, draft)
    os.replace(draft, path)


if __name__ == "__main__":
    for name in sys.argv[1:]:
        print(name, flush=True)
        execute(Path(name))
