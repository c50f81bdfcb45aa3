"""The chapter "CLIP against SigLIP": every row of its table leads to a cell that shows it."""

import json
import re

import nbformat
import pytest

from benchmarks.common import RESULTS


@pytest.fixture(scope="module")
def cells(root):
    return nbformat.read(root / "notebooks" / "14_clip_siglip.ipynb", 4).cells


def test_no_row_of_the_table_is_without_a_cell(cells):
    (table,) = (c.source for c in cells if "| SigLIP base-patch16-224 |" in c.source)
    rows = [line for line in table.splitlines() if line.startswith("| ")][1:]
    shown = {}  # label -> the cell behind the text that it stands above
    for cell, following in zip(cells, cells[1:], strict=False):
        labels = re.findall(r"^\((versus-[\w-]+)\)=$", cell.source, re.M)
        if cell.cell_type == "markdown" and labels:
            assert len(labels) == 1, f"two labels before one cell: {labels}"
            shown[labels[0]] = following
    targets = []
    for row in rows:
        (target,) = re.findall(r"^\| \[[^]]+\]\(#(versus-[\w-]+)\) \|", row)
        targets.append(target)
        assert shown[target].cell_type == "code" and shown[target].outputs, row
    assert len(rows) == 26
    assert set(targets) == set(shown), "a label that no row leads to"
    count = re.search(r"Of (\d+) rows", " ".join(c.source for c in cells))
    assert int(count[1]) == len(rows)


def test_the_page_prints_what_the_benchmark_stored(cells):
    stored = json.loads((RESULTS / "batch_size.json").read_text())
    (cell,) = (c for c in cells if 'stored["rows"]' in c.source and "print" in c.source)
    lines = cell.outputs[0].text.splitlines()[1:]
    assert len(lines) == len(stored["rows"]) >= 8
    for line, row in zip(lines, stored["rows"], strict=True):
        assert line.split()[:3] == [str(row["n"]), str(row["steps"]), row["loss"]]
        assert f"{row['mean']['held_out']:.1%}" in line
