"""Rules that every committed notebook keeps. nbval runs them; here they are only read."""

import re
from pathlib import Path

import nbformat
import pytest

NOTEBOOKS = sorted((Path(__file__).parents[1] / "notebooks").glob("*.ipynb"))
pytestmark = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)

UNCOMPARED = {"nbval-ignore-output", "nbval-skip"}
LOCAL_PATH = re.compile(r"/(home|root|Users|tmp|work|usr|opt|content)/\w|[A-Z]:\\\\\w")


def code_cells(path):
    return [c for c in nbformat.read(path, 4).cells if c.cell_type == "code" and c.source.strip()]


def tags(cell):
    return set(cell.metadata.get("tags", []))


def outputs(cell):
    """Every output's text, as (kind, text)."""
    for output in cell.outputs:
        if output.output_type == "stream":
            yield output.name, output.text
        elif output.output_type == "error":
            yield "error", "\n".join(output.traceback)
        else:
            yield from ((kind, data) for kind, data in output.data.items() if "image/" not in kind)


def test_has_run_from_top_to_bottom(path):
    cells = [c for c in code_cells(path) if "nbval-skip" not in tags(c)]
    counts = [c.execution_count for c in cells]
    assert None not in counts and counts == sorted(set(counts))


def test_at_most_one_cell_in_ten_is_not_compared(path):
    cells = code_cells(path)
    assert sum(bool(tags(c) & UNCOMPARED) for c in cells) <= len(cells) / 10


def test_every_figure_has_words(path):
    """An alt text of its own, not a file's name, and enough of it to stand for the figure."""
    for cell in code_cells(path):
        if any(kind.startswith("image/") for o in cell.outputs for kind in o.get("data", {})):
            alt = cell.metadata.get("mystnb", {}).get("image", {}).get("alt", "")
            assert len(alt.split()) >= 4, f"no alt text: {cell.source[:80]!r}"


def test_every_picture_in_the_prose_has_words(path):
    for cell in nbformat.read(path, 4).cells:
        if cell.cell_type == "markdown":
            assert not re.search(r"!\[\s*\]\(", cell.source)


def test_no_local_path_no_warning_no_traceback(path):
    for cell in code_cells(path):
        for kind, text in outputs(cell):
            assert kind not in ("stderr", "error"), text[:200]
            assert not LOCAL_PATH.search(str(text)), text[:200]


def test_metadata_names_no_machine(path):
    notebook = nbformat.read(path, 4)
    assert set(notebook.metadata) == {"kernelspec", "language_info", "myst"}
    assert set(notebook.metadata.language_info) == {"name"}
    assert not any("execution" in cell.metadata for cell in notebook.cells)


def test_opens_with_a_title_and_describes_itself_to_search_engines(path):
    notebook = nbformat.read(path, 4)
    assert re.search(r"^# \S", notebook.cells[0].source, re.M)
    assert len(notebook.metadata.myst["html_meta"]["description"]) > 40


def test_reads_nothing_but_the_package(path):
    """Where a chapter runs alone there is no folder above it, and perhaps no network."""
    for cell in code_cells(path)[1:]:  # the first installs the package where it is missing
        assert not re.search(r"urlopen|git\+|githubusercontent|benchmarks/|[\"']\.\.", cell.source)
