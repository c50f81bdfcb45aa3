"""What counts as the same output of a notebook's cell: `notebooks/conftest.py`."""

import importlib.util
import shutil
import subprocess
import sys

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook, new_output


@pytest.fixture(scope="module")
def comparison(root):
    spec = importlib.util.spec_from_file_location("comparison", root / "notebooks/conftest.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def alike(comparison):
    return comparison.alike


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("0.1067", "0.1066"),
        ("a 9.99 and b", "a 10.00 and b"),
        ("x   9.9", "x  10.0"),
        ("0.00", "-0.00"),
        ("−0.10", "−0.11"),
        ("1,234.5 GB", "1,234.4 GB"),
        ("9.9e-08", "1.0e-07"),
        ("It is 0.5.", "It is 0.6."),
        ("tensor([0.1234, 0.5000])", "tensor([0.1235, 0.4999])"),
        ("94 % and 3%", "93 % and 4%"),
    ],
)
def test_one_unit_in_the_last_place_is_the_same(alike, one, other):
    assert alike(one, other) and alike(other, one)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("0.1067", "0.1065"),
        ("94 %", "92 %"),
        ("9.8e-08", "1.0e-07"),
        ("1,234.5", "1,235.5"),
        ("0.1", "0.10"),
        ("0.1", "0.2 0.1"),
        ("3.0", "3"),
        ("a 0.1", "b 0.1"),
        ("0.1 cats", "0.1 cat"),
        ("0.1\n0.2\n", "0.1\n"),
        ("0.1\n", "0.1"),
        ("[1, 729, 1152]", "[1, 730, 1152]"),
        ("384 of 400", "383 of 400"),
        ("version 1.2.3", "version 1.2.4"),
        ("True", "False"),
        ("nan", "0.1"),
        ("#", "0.1"),
    ],
)
def test_anything_else_is_not(alike, one, other):
    assert not alike(one, other) and not alike(other, one)


def drawing(words: str, place: int = 7) -> str:
    figure = f'<text x="{place}" y="2">{words}</text><path d="M{place} 0L1 1"/>'
    return f'<svg xmlns="http://www.w3.org/2000/svg"><a href="x">{figure}</a></svg>'


def test_of_a_drawing_only_the_words_are_compared(comparison):
    def same(one, other):
        return comparison.alike(comparison.words(one), comparison.words(other))

    assert same(drawing("96.0 % of a"), drawing("95.9 % of a", place=8))
    assert not same(drawing("96.0 % of a"), drawing("95.8 % of a"))
    assert not same(drawing("96.0 % of a"), drawing("96.0 % of b"))
    assert not same(drawing("a"), drawing("a</text><text>b"))
    two_lines = drawing("<tspan>one</tspan><tspan>two</tspan>")
    assert comparison.words(two_lines) == "one two"
    assert comparison.words("<b>96.0</b>") == "<b>96.0</b>"


@pytest.mark.slow
def test_nbval_compares_so(root, tmp_path):
    """Each cell prints 0.1067 and a word; what is stored is one unit, two, a word, a line off."""
    stored = ["0.1066 cats\n", "0.1065 cats\n", "0.1067 dogs\n", "0.1067 cats\n1\n", "0.1067 cats"]
    notebook = new_notebook()
    for number, text in enumerate(stored, 1):
        output = new_output("stream", name="stdout", text=text)
        cell = new_code_cell("print('0.1067 cats')", execution_count=number, outputs=[output])
        notebook.cells.append(cell)
    nbformat.write(notebook, tmp_path / "page.ipynb")
    shutil.copy(root / "notebooks/conftest.py", tmp_path)
    command = [sys.executable, "-m", "pytest", "-rA", "--nbval", "--nbval-current-env", "."]
    run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    passed = [f"PASSED page.ipynb::Cell {i}" in run.stdout for i in range(len(stored))]
    assert passed == [True, False, False, False, False], run.stdout
