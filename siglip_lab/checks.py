"""What the doors refuse: one function for each kind of mistake, called before any work is done."""

from __future__ import annotations

import re

__all__ = ["CheckpointError", "check_integer", "check_size", "shown"]

MOST_LAYERS = 500  # so many are built in a second, where nothing is allocated
MOST = 500_000  # of any other size: no product of sizes that a tensor has leaves 64 bits

# No text to look at: control characters, line ends, changes of direction, halves of characters.
_STEERING = re.compile("[\0-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def shown(value: object, most: int = 90) -> str:
    """Foreign text for a message: what steers is escaped, what is long loses its middle."""
    text = _STEERING.sub(lambda found: ascii(found[0])[1:-1], str(value))
    if len(text) <= most:
        return text
    return f"{text[: most // 3]} ... {text[most // 3 + 5 - most :]}"


def check_integer(name: str, value: int, least: int = 1) -> None:
    """Refuse what is no integer, or is below `least`."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name} must be an integer, got {shown(repr(value))}")
    if value < least:
        raise ValueError(f"{name} must be at least {least}, got {shown(value)}")


def check_size(name: str, value: int) -> None:
    """Refuse what no part of a model has as its size; a file may claim anything."""
    check_integer(name, value)
    most = MOST_LAYERS if name in ("depth", "layers") else MOST
    if value > most:
        raise ValueError(f"{name} must be at most {most:,}, got {shown(value)}")


class CheckpointError(ValueError):
    """A checkpoint cannot be fetched or loaded; the message says which, why and what to do.

    Paths and names in the message may come from anywhere: it stays short and free of control
    characters.
    """

    def __init__(self, message: str):
        super().__init__(shown(message, 400))
