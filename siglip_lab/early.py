"""Ctrl-C while the command's imports still run: a line instead of a traceback."""

import os
import sys

__all__ = ["is_the_command"]


def is_the_command(argv: list[str], original: list[str]) -> bool:
    """Whether this process is ``siglip-lab`` or ``python -m siglip_lab``, and no other program.

    >>> is_the_command(["/usr/bin/siglip-lab", "models"], ["python", "/usr/bin/siglip-lab"])
    True
    >>> is_the_command(["-m"], ["python", "-m", "siglip_lab"]), is_the_command(["a.py"], [])
    (True, False)
    """
    name = os.path.basename(argv[0] if argv else "")
    return name in ("siglip-lab", "siglip-lab.exe") or (name == "-m" and "siglip_lab" in original)


def _say(kind, error, traceback) -> None:
    if not issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error, traceback)
        return
    print("\nsiglip-lab: stopped before it began", file=sys.stderr, flush=True)
    os._exit(130)


if is_the_command(sys.argv, sys.orig_argv):
    sys.excepthook = _say
