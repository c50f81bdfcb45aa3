"""The exercises of the chapters: one question, answered on the page or in the notebook.

`exercises.json` has, for each, the kind of answer, the answer itself, sealed, so that nobody reads
it by accident, hints for the first and the second wrong answer, hints for particular wrong answers,
and what is said to the right one. Some take a function instead, which is tried on sealed cases.
`book/_static/js/exercise.js` reads and compares as this file.
"""

from __future__ import annotations

import base64
import json
import re
from collections import Counter
from collections.abc import Callable
from html import escape
from importlib.resources import files
from typing import Any

import torch

from siglip_lab.figures.touch import Touchable

__all__ = ["EXERCISES", "Exercise", "exercise", "readings", "seal", "split", "unseal"]

EXERCISES: dict[str, dict] = json.loads(
    (files("siglip_lab.figures") / "exercises.json").read_text("utf-8")
)
_wrong_so_far: Counter[str] = Counter()


def seal(content: Any) -> str:
    """Write any JSON so that it cannot be read at a glance."""
    return base64.b64encode(json.dumps(content, ensure_ascii=False).encode()).decode()


def unseal(sealed: str) -> Any:
    """Read what `seal` wrote."""
    return json.loads(base64.b64decode(sealed))


# ---- reading what was typed ----------------------------------------------------------------------

_GROUPED = re.compile(r"^([+-]?[1-9][0-9]{0,2})((?:[ ,_][0-9]{3})+)(?![0-9])")
_NUMBER = re.compile(
    r"^([+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:e[+-]?[0-9]+)?)(?: ?/ ?([1-9][0-9]*))?( ?%)?$"
)


def _plain(text: str) -> str:
    """Signs and spaces as a keyboard has them."""
    return re.sub(r"\s+", " ", re.sub("[\u2212\u2013]", "-", text)).strip()


def readings(text: str, unit: str = "") -> list[float]:
    """All numbers that a text may mean: 6,930 may be thousands or a decimal comma.

    Args:
        text: One number as somebody types it: `−6.93`, `6,93`, `1e-3`, `9/16`, `50 %`.
        unit: What may follow it. Per cent of another unit, or of none, are hundredths.

    Returns:
        None, one or two numbers.

    Example:
        >>> readings("6,93"), readings("50 %"), readings("50 %", "%"), readings("many")
        ([6.93], [0.5], [50.0], [])
    """
    text = _plain(text).lower()
    if unit and text.endswith(unit.lower()):
        text = text[: -len(unit)].strip()
    grouped = _GROUPED.sub(lambda m: m[1] + re.sub("[ ,_]", "", m[2]), text)
    found = []
    for way in (grouped, text.replace(",", ".", 1)):
        if match := _NUMBER.match(way):
            value = float(match[1]) / float(match[2] or 1) / (100 if match[3] else 1)
            found += [value] * (value not in found)
    return found


def split(text: str) -> list[str]:
    """Cut a list as somebody types it: `[3, 17]`, `3 and 17`, `57,1; 182,9`, `80 000, 512 000`.

    Example:
        >>> split("(80,000, 512,000)"), split("1,9"), split("{1; 9}")
        (['80,000', '512,000'], ['1', '9'], ['1', '9'])
    """
    text = re.sub("[\\[\\](){}\"'\u201c\u201d`]", "", _plain(text)).strip(" ,;")
    between = (way for way in (" ?; ?", " ?, | ,| and | [+] ", " ") if re.search(way, text))
    return re.split(next(between, ","), text)


# ---- what a notebook shows and calls -------------------------------------------------------------


class Exercise(Touchable):
    """An exercise that waits for its answer.

    Args:
        number: Chapter and number, such as "08.2".

    Raises:
        ValueError: If there is no such exercise.
    """

    tag = "exercise"

    def __init__(self, number: str):
        if number not in EXERCISES:
            raise ValueError(
                f"exercise {number!r}: there is none; expected a chapter and a number from "
                f"{min(EXERCISES)!r} to {max(EXERCISES)!r}, such as '08.2'"
            )
        self.number, self.entry = number, EXERCISES[number]
        self.answer = unseal(self.entry["answer"])

    def __repr__(self) -> str:
        return f"Exercise {self.number}: put {self.expected()} in place of None and run the cell"

    def data(self) -> dict:
        shown = {key: self.entry[key] for key in ("kind", "choices", "unit", "ask")
                 if key in self.entry}  # fmt: skip
        hidden = {key: self.entry[key] for key in ("within", "any_order", "wrong", "hints", "right")
                  if key in self.entry}  # fmt: skip
        sealed = seal({"answer": self.answer, **hidden})
        return {"id": self.number, **shown, "form": self.form(), "sealed": sealed}

    def fallback(self) -> str:
        put = f"put {escape(self.expected())} in place of <code>None</code> and run the cell"
        return f"<p>In the notebook, {put}.</p>"

    def form(self) -> str:
        """What is expected, for who types."""
        kind, within = self.entry["kind"], self.entry.get("within", 0)
        if kind in ("choice", "choices"):
            return "choose one" if kind == "choice" else "choose all that fit, one or more"
        if kind == "pieces":
            return "the pieces, with a space between them"
        if kind == "number":
            return f"a number, give or take {within:g}" if within else "a whole number"
        order = "any order" if self.entry.get("any_order") else "order"
        return f"{len(self.answer)} numbers in {order}, with commas between them"

    def expected(self) -> str:
        """What is expected, for who programs."""
        kind = self.entry["kind"]
        if kind in ("choice", "choices"):
            words = ", ".join(f'"{choice}"' for choice in self.entry["choices"])
            return f"one of {words}" if kind == "choice" else f"a set of words out of {words}"
        if kind == "pieces":
            return "a list of strings"
        form = f"a list of {len(self.answer)} numbers" if kind == "numbers" else self.form()
        return f"{form}, or a function" if "cases" in self.entry else form

    def reply(self, answer: Any) -> str:
        """What is said to an answer: right, or a hint, a stronger one the second time."""
        right = f"Right. {self.entry['right']}"
        if callable(answer) and "cases" in self.entry:
            wrong = self.fails(answer)
            return f"Not yet. {wrong}" if wrong else right
        given = self.read(answer)
        if given is None:
            return f"{answer!r} cannot be read here: expected {self.expected()}."
        if self.same(self.answer, given):
            return right
        _wrong_so_far[self.number] += 1
        for value, hint in self.entry.get("wrong", []):
            if self.same(value, given):
                return f"Not yet. {hint}"
        hints = self.entry["hints"]
        return f"Not yet. {hints[min(_wrong_so_far[self.number], len(hints)) - 1]}"

    def fails(self, function: Callable) -> str | None:
        """The first case for which a function gives something else than it should."""
        for arguments, expected in unseal(self.entry["cases"]):
            given = function(*(torch.tensor(a) if isinstance(a, list) else a for a in arguments))
            given = given.tolist() if hasattr(given, "tolist") else given
            if not _close(given, expected, self.entry.get("within", 0)):
                return f"It gives {given!r:.60} for {', '.join(f'{a!r:.60}' for a in arguments)}."
        return None

    def read(self, answer: Any) -> list | None:
        """Strings, or for each number the ways to read it; None if it cannot be read."""
        kind = self.entry["kind"]
        if hasattr(answer, "tolist"):  # a tensor or an array
            answer = answer.tolist()
        if isinstance(answer, str):
            answer = split(answer) if kind in ("numbers", "pieces") else [answer]
        elif not isinstance(answer, (list, tuple, set, frozenset)):
            answer = [answer]
        if kind in ("choice", "choices"):
            given = [str(each).strip() for each in answer]
            return given if given and set(given) <= set(self.entry["choices"]) else None
        if kind == "pieces":
            return [str(each).replace("_", "\u2581") for each in answer]
        unit = self.entry.get("unit", "")
        try:
            numbers = [readings(n, unit) if isinstance(n, str) else [float(n)] for n in answer]
        except (TypeError, ValueError):
            return None
        size = len(self.answer) if kind == "numbers" else 1
        return numbers if all(numbers) and len(numbers) == size else None

    def same(self, expected: Any, given: list) -> bool:
        """True if what was given is what was expected."""
        kind = self.entry["kind"]
        expected = expected if isinstance(expected, list) else [expected]
        if kind in ("choice", "choices"):
            return set(given) == set(expected)
        if kind == "pieces":
            return given == expected
        if self.entry.get("any_order"):
            expected, given = sorted(expected), sorted(given)
        within = self.entry.get("within", 0)
        return len(given) == len(expected) and all(
            any(abs(way - value) <= within + 1e-9 * abs(value) for way in ways)
            for value, ways in zip(expected, given, strict=True)
        )


def _close(given: Any, expected: Any, within: float) -> bool:
    """True if numbers, or lists of them of the same shape, are as near as they should be."""
    if isinstance(expected, list):
        return (
            isinstance(given, (list, tuple))
            and len(given) == len(expected)
            and all(_close(g, e, within) for g, e in zip(given, expected, strict=True))
        )
    number = isinstance(given, (int, float))
    return number and abs(given - expected) <= within + 1e-9 * abs(expected)


def exercise(number: str, answer: Any = None) -> Exercise | None:
    """Check an answer; without one, show what is expected, and on the site the field for it.

    Args:
        number: Chapter and number, such as "08.2".
        answer: A number, a list, a word, a set of words, or a function, as the exercise asks.

    Raises:
        ValueError: If there is no such exercise.

    Example:
        >>> exercise("01.1", answer=32)
        Not yet. That is one side. How many patches does the whole square have?
        >>> exercise("04.1", answer=lambda size, patch: 8)
        Not yet. It gives 8 for 384, 14.
        >>> exercise("01.1")
        Exercise 01.1: put a whole number in place of None and run the cell
    """
    asked = Exercise(number)
    if answer is None:
        return asked
    print(asked.reply(answer))
    return None
