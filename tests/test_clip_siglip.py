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
    table = table.split("| CLIP ViT-B/16 |")[1].split("\n\n")[
        0
    ]  # a second one tells of the training
    rows = [line for line in table.splitlines() if line.startswith("| ")]
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
    assert len(rows) == 19
    assert set(targets) == set(shown), "a label that no row leads to"
    counts = re.findall(r"(\d+)(?:\*\*)? rows", " ".join(c.source for c in cells))
    assert len(counts) == 2 and {int(count) for count in counts} == {len(rows)}


def test_the_page_prints_what_the_benchmark_stored(cells):
    stored = json.loads((RESULTS / "batch_size.json").read_text())
    (cell,) = (c for c in cells if 'stored["rows"]' in c.source and "held out" in c.source)
    lines = cell.outputs[0].text.splitlines()[1:]
    assert len(lines) == len(stored["rows"]) == 12
    names = {"sigmoid": "sigmoid, b fitted", "sigmoid, b = -10": "sigmoid, b = −10"}
    for line, row in zip(lines, stored["rows"], strict=True):
        assert line.split()[:2] == [str(row["n"]), str(row["steps"])]
        assert f" {names.get(row['loss'], row['loss'])} " in line
        assert f"{row['mean']['held_out']:.1%}" in line


def test_what_the_page_says_of_the_long_runs_is_what_was_stored(cells):
    """How far the softmax leads on drawings of seen combinations, seed by seed."""
    stored = json.loads((RESULTS / "batch_size.json").read_text())
    rates = {(row["loss"], row["n"]): row["learning_rate"] for row in stored["rows"]}
    seen = {
        (run["loss"], run["n"], run["seed"]): 100 * run["accuracy"]["seen"]
        for run in stored["runs"]
        if run["seed"] and run["learning_rate"] == rates[run["loss"], run["n"]]
    }

    def lead(loss, n):
        return [seen["softmax", n, s] - seen[loss, n, s] for s in (1, 2, 3)]

    text = " ".join(c.source for c in cells if c.cell_type == "markdown")
    fitted, fixed = lead("sigmoid", 256), lead("sigmoid, b = -10", 256)
    assert "falls 23 points behind at $n$ = 256" in text and round(sum(fitted) / 3) == 23
    assert "about half of that gap is left" in text and 0.4 < sum(fixed) / sum(fitted) < 0.6
    assert (
        "one of the three seeds shows almost none" in text
        and sorted(fixed)[0] < 3 < sorted(fixed)[1]
    )
    assert "agree to within three points for each seed" in text
    assert all(abs(points) < 3 for points in lead("sigmoid, b = -10", 64))
    assert "mostly from one seed" in text
    assert min(lead("sigmoid, b = -10", 16)) < 0.7 * sum(lead("sigmoid, b = -10", 16))
    assert "With 128 steps ($n$ = 1,024), −10 learns nothing" in text
    assert all(seen["sigmoid, b = -10", 1024, s] < 1 for s in (1, 2, 3))
