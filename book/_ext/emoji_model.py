"""Puts what `emoji-search` needs of the embedded model `emoji` on the site.

The text tower in half precision; in place of the image tower, the vectors of one artist's pictures,
and those of all names, so that a page computes neither; the vocabulary; the sheet of the pictures.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

from safetensors.torch import save
from sphinx.application import Sphinx
from tiny_model import vocabulary, write

from siglip_lab.emoji.data import SHIPPED
from siglip_lab.figures.touch import EmojiSearch


def weights(figure: EmojiSearch) -> bytes:
    """The file `model.safetensors`, every number rounded to float16."""
    tensors = {"image_embeds": figure.images, "name_embeds": figure.texts}
    for name, tensor in figure.model.state_dict().items():
        if not name.startswith("vision_model."):
            tensors[name] = tensor
    config = {"text": asdict(figure.model.config.text)}
    metadata = {
        "config": json.dumps(config, separators=(",", ":")),
        "names": json.dumps(figure.names, ensure_ascii=False, separators=(",", ":")),
    }
    return save({name: tensor.half() for name, tensor in tensors.items()}, metadata)


def files(figure: EmojiSearch) -> dict[str, bytes]:
    """Name and content."""
    return {
        "model.safetensors": weights(figure),
        "vocabulary.txt": vocabulary("emoji"),
        "pictures.webp": (SHIPPED / f"{figure.artist}.webp").read_bytes(),
    }


def _build_finished(app: Sphinx, exception):
    if not exception and app.builder.format == "html":
        write(Path(app.outdir) / "_static/emoji", files(EmojiSearch()))


def setup(app: Sphinx):
    app.connect("build-finished", _build_finished)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
