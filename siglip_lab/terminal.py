"""What the two command lines share: errors in one line, and text that any terminal can show."""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Callable

from safetensors import SafetensorError

from siglip_lab.hubs import CheckpointError

# What is no text to look at, or steers the terminal: control characters, line ends, changes of
# direction, halves of characters.
_UNSEEN = re.compile("[\0-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


class Parser(argparse.ArgumentParser):
    """Ends with exit code 2, and repeats what was typed as `one_line` does."""

    def error(self, message: str):
        super().error(one_line(message))


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
    except KeyboardInterrupt:
        code = 130
    except BrokenPipeError:  # the reader, such as `head`, left
        pass
    except (CheckpointError, OSError, SafetensorError, TypeError, ValueError) as error:
        code, message = 1, f"siglip_lab: {one_line(str(error))}\n"
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


def one_line(text: str, length: int = 1000) -> str:
    r"""Text from elsewhere, for a terminal: short, and without power over it.

    Args:
        text: Any text.
        length: Of a longer one, the middle is left out. The default leaves room for a message
            that lists all the models.

    >>> one_line("two\nlines and a \x1b[31mcolour")
    'two\\nlines and a \\x1b[31mcolour'
    """
    if len(text) > length:
        text = f"{text[: length // 2]} ... {text[-length // 2 :]}"
    return _UNSEEN.sub(lambda found: found[0].encode("unicode_escape").decode(), text)
