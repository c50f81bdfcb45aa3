"""What the two command lines share: errors in one line, and text that any terminal can show."""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Callable
from typing import NoReturn

from safetensors import SafetensorError

from siglip_lab.checks import shown

__all__ = ["LINE", "Parser", "run", "show", "utf_8", "whole_number"]

LINE = 1000  # characters of an error: room for a message that lists all the models


class Parser(argparse.ArgumentParser):
    """End with exit code 2, and repeat only the ends of a long argument."""

    def error(self, message: str) -> NoReturn:
        super().error(shown(message, LINE))


def run(command: Callable[[], object]) -> int:
    """Run a command to its end.

    Args:
        command: What to do.

    Returns:
        The exit code: 0; 1 for an error, which is printed; 130 for Ctrl-C.
    """
    code, message = 0, ""
    try:
        command()
        print(end="", flush=True)
    except KeyboardInterrupt as stop:
        code, message = 130, f"siglip-lab: {stop}\n" if str(stop) else ""
    except BrokenPipeError:  # the reader, such as `head`, left
        pass
    except (OSError, SafetensorError, TypeError, ValueError) as error:
        code, message = 1, f"siglip-lab: {shown(error, LINE)}\n"
    for stream, text in ((sys.stdout, ""), (sys.stderr, message)):
        try:
            print(text, end="", flush=True, file=stream)
        except OSError:  # Python flushes once more at its end, and says so if that fails
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
    return code


def show(text: str) -> None:
    """Print, with a question mark for each character that the terminal's encoding lacks."""
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    print(text.encode(encoding, "replace").decode(encoding))


def utf_8(word: str) -> str:
    """Take bytes that Python did not decode, as under LC_ALL=C, for UTF-8."""
    return os.fsencode(word).decode() if re.search("[\ud800-\udfff]", word) else word


def whole_number(least: int, most: int) -> Callable[[str], int]:
    """Make the type of an argument that is a whole number in a range."""

    def number(word: str) -> int:
        if not (word.lstrip("-").isdecimal() and least <= int(word) <= most):
            raise argparse.ArgumentTypeError(f"{word!r} is no whole number from {least} to {most}")
        return int(word)

    return number
