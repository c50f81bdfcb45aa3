"""The command ``siglip-lab export``."""

from __future__ import annotations

import argparse
from typing import Any

from siglip_lab.checks import shown
from siglip_lab.export.folders import MANIFEST, check_dtypes, check_out, export_onnx
from siglip_lab.export.towers import check_extra
from siglip_lab.export.variants import SUFFIXES
from siglip_lab.families import load_pair
from siglip_lab.tables import table
from siglip_lab.terminal import LINE, show

__all__ = ["add_export"]


def add_export(commands: Any) -> None:
    """Add the command to the parser's commands."""
    parser = commands.add_parser(
        "export", help="write a model for other programs: ONNX, each tower apart"
    )
    parser.add_argument(
        "where", metavar="NAME", help='"tiny", a published name, "OWNER/NAME" or a folder'
    )
    parser.add_argument("folder", metavar="OUT", help="a folder that is empty or not there yet")
    parser.add_argument(
        "--dtype", action="append", choices=SUFFIXES,
        help="format of the numbers; may be repeated (default: float32)",
    )  # fmt: skip
    parser.set_defaults(run=_export)


def _export(options: argparse.Namespace) -> None:
    dtypes = check_dtypes(options.dtype or ["float32"])
    check_out(options.folder)
    try:
        check_extra()
        manifest = export_onnx(*load_pair(options.where), options.folder, dtypes)
    except ImportError as error:
        raise ValueError(str(error)) from error
    rows: list[tuple] = [("file", "MB", "largest difference", "smallest cosine")]
    for name, entry in manifest["files"].items():
        size = f"{entry['bytes'] / 1e6:,.2f}"
        rows.append((name, size, f"{entry['difference']:.1e}", f"{entry['cosine']:.6f}"))
    show(table(rows))
    out = shown(options.folder, LINE)
    show(f"{out}: compared with PyTorch in float32; {MANIFEST} says how logits come of the vectors")
