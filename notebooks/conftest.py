"""How nbval compares an output: words as they are, a rounded number to one unit in its last place.

Processors add in different orders, so a value that lies between two printed ones may be rounded up
on one machine and down on another. A number is rounded if it has decimals or an exponent, or is a
percentage. Other whole numbers are counts, ids and shapes: they are words.

Of a drawing the words are compared, line by line; where they stand and what is drawn is not.
"""

import re
import xml.etree.ElementTree as xml
from decimal import Decimal

from nbval.plugin import IPyNbCell

# The spaces before a number are padding; the percent sign after it stays in the text.
DIGITS = r"(?:\d{1,3}(?:,\d{3})+|\d+)"
ROUNDED = re.compile(
    rf" *(?<![\d.])([-+−]?{DIGITS}(?:\.\d+(?:e[-+]?\d+)?|e[-+]?\d+|(?= ?%)))(?!\d|\.\d)",
    re.IGNORECASE,
)


def alike(one: str, other: str) -> bool:
    """True if the two texts differ in nothing but last places, by one unit each."""
    numbers, others = (ROUNDED.findall(text) for text in (one, other))
    same_words = ROUNDED.sub("\0", one) == ROUNDED.sub("\0", other)
    return same_words and all(map(_within_one_unit, numbers, others))


def _within_one_unit(one: str, other: str) -> bool:
    a, b = (Decimal(number.replace(",", "").replace("−", "-")) for number in (one, other))
    unit_a, unit_b = (Decimal(1).scaleb(number.as_tuple().exponent) for number in (a, b))
    # 9.9e-08 and 1.0e-07 are neighbours, though their last places differ; 0.10 and 0.1 are not.
    return ("e" in one.lower() or unit_a == unit_b) and abs(a - b) <= min(unit_a, unit_b)


def words(text: str) -> str:
    """The words of a drawing; any other text as it is."""
    if not text.startswith("<svg"):
        return text
    lines = xml.fromstring(text).iter("{http://www.w3.org/2000/svg}text")
    return "\n".join(" ".join(line.itertext()) for line in lines)


class Printed(str):
    """Text of an output, equal to any text that is alike."""

    __hash__ = str.__hash__

    def __eq__(self, other):
        return alike(self, other)

    def __ne__(self, other):
        return not alike(self, other)


def _sanitize(cell, text, as_it_was=IPyNbCell.sanitize):
    text = as_it_was(cell, text)
    return Printed(words(text)) if isinstance(text, str) else text


IPyNbCell.sanitize = _sanitize
