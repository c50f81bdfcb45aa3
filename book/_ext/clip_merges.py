"""Puts CLIP's list of merges on the site, for `_static/js/merge-steps.js`."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from sphinx.application import Sphinx

from siglip_lab.clip import Tokenizer


def merges() -> bytes:
    """Two ids for each merge, `<u2`: ids 0 to 255 are bytes, 256 to 511 bytes that end a word, and
    512 + i is what merge i makes."""
    clip = Tokenizer()
    ids = [[clip._ids[piece] for piece in pair] for pair in clip._ranks]
    return np.array(ids, "<u2").tobytes()


def _build_finished(app: Sphinx, exception):
    if not exception and app.builder.format == "html":
        folder = Path(app.outdir) / "_static/clip"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "merges.part").write_bytes(merges())
        os.replace(folder / "merges.part", folder / "merges.bin")


def setup(app: Sphinx):
    app.connect("build-finished", _build_finished)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
