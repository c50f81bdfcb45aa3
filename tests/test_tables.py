"""Tables of numbers over bars and shades, and the question before a text answers it."""

import re
import xml.etree.ElementTree as xml

import pytest
import torch

from siglip_lab.figures.style import IMAGE, TEXT
from siglip_lab.figures.tables import bars, matrix, shapes
from siglip_lab.figures.touch import Guess


def looks(table):
    """The words of each row, and what is drawn behind each cell."""
    rows = list(xml.fromstring(table._repr_html_()).iter("tr"))
    return [[(cell.text or "", cell.get("style", "")) for cell in row] for row in rows]


def test_a_bar_is_as_long_as_its_number():
    table = bars({"a": [10, 0.5], "b": [-5, 0.25]}, ["count", "share"], ("d", ".0%"),
                 colours=[IMAGE, TEXT])  # fmt: skip
    head, a, b = looks(table)
    assert [word for word, _ in head] == ["", "count", "share"]
    assert [word for word, _ in b] == ["b", "−5", "25%"]
    for row, ends in ((a, ("1.00", "1.00")), (b, ("0.50", "0.50"))):
        for (_, look), end in zip(row[1:], ends, strict=True):
            assert f"0 var(--y,100%)/calc({end}*(100% - var(--w,0px))) var(--h,4px)" in look
    assert "--image" in a[1][1] and "--text" in a[2][1] and "--neutral" in b[1][1]
    for value, end in ((3, "0.10"), (30, "1.00"), (300, "1.00")):
        assert (
            f"0 var(--y,100%)/calc({end}*(100% - var(--w,0px))) var(--h,4px)"
            in looks(bars({"a": value}, full=30))[0][1][1]
        )


def test_each_column_may_have_a_full_bar_of_its_own():
    (row,) = looks(bars({"a": [5.0, 5.0, 5.0]}, full=(10, None, 50)))
    ends = [re.search(r"calc\(([\d.]+)", look)[1] for _, look in row[1:]]
    assert ends == ["0.50", "1.00", "0.10"]


def test_words_zeros_and_what_is_not_finite_have_no_bar():
    rows = {"a": ["yes", 0.0], "b": ["no", float("inf")], "c": ["<&>", float("nan")]}
    table = bars(rows, form=".1f")
    assert {look for row in looks(table) for _, look in row} == {""}
    assert [row[1][0] for row in looks(table)] == ["yes", "no", "<&>"]


def test_one_row_may_be_marked():
    page = xml.fromstring(bars({"a": 1, "b": 2}, marked="b")._repr_html_())
    assert [row.get("class") for row in page.iter("tr")] == [None, "marked"]
    assert [name.text for name in page.iter("b")] == ["b"]


def test_as_plain_text():
    table = bars({"short": torch.tensor([1.0, 2.0]), "longer": (3, 4)}, ["x", "wide head"], ".1f")
    assert repr(table).splitlines() == [
        "          x  wide head", "short   1.0        2.0", "longer  3.0        4.0",
    ]  # fmt: skip
    assert repr(matrix([[1, -1]], form="d")) == "1  −1"
    assert repr(shapes({"x": torch.empty(2, 3)})).split() == ["shape", "numbers", "x", "2×3", "6"]


def test_a_cell_is_as_dark_as_its_number():
    values = torch.tensor([[4.0, -2.0], [0.0, -torch.inf]])
    (_, four), (_, minus_two) = looks(matrix(values))[0]
    assert "45%" in four and "22%" in minus_two and "--neutral" in minus_two
    assert [look for _, look in looks(matrix(values))[1]] == ["", ""]
    assert looks(matrix(torch.tensor([[True]]), form="d"))[0][0][0] == "1"


@pytest.mark.parametrize("wrong, message", [
    (lambda: bars({"a": [1, 2], "b": [1]}), "'b' has 1 cells, the first one 2"),
    (lambda: bars({"a": 1}, ["x", "y"]), "2 heads for 1 columns"),
    (lambda: bars({"a": [1, 2]}, form=["d"]), "1 forms for 2 columns"),
    (lambda: bars({}), "no rows"),
    (lambda: bars({"a": 1}, marked="b"), "no row 'b' to mark"),
    (lambda: matrix(torch.ones(3)), r"shape \[3\]; expected a matrix"),
    (lambda: matrix(torch.ones(2, 2), rows=["a"]), "1 names for 2 rows"),
    (lambda: Guess("Which?", {"a": "No.", "b": "No."}), "0 of 2 answers"),
])  # fmt: skip
def test_what_cannot_be_drawn_says_why(wrong, message):
    with pytest.raises(ValueError, match=message):
        wrong()


def test_a_guess_shows_what_is_said_only_when_it_is_opened():
    guess = Guess("How <many>?", {"3": "No: too few.", "4": "Right: two times two."})
    page = xml.fromstring(guess._repr_html_())
    assert [d.find("summary").text for d in page.iter("details")] == ["3", "4"]
    assert not any(d.get("open") for d in page.iter("details"))
    assert repr(guess) == "How <many>? 3 / 4"
