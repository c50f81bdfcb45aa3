"""Puts the embedded model `tiny` on the site, for `_static/js/model`.

Its weights in half precision, with the configuration in the header, and its vocabulary with scores.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from pathlib import Path

from safetensors.torch import save
from sphinx.application import Sphinx

from siglip_lab.model import SigLIP
from siglip_lab.processor import Processor


def weights() -> bytes:
    """The file `model.safetensors`, every number rounded to float16."""
    model = SigLIP.from_pretrained("tiny")
    tensors = {name: tensor.half() for name, tensor in model.state_dict().items()}
    return save(tensors, {"config": json.dumps(asdict(model.config), separators=(",", ":"))})


def vocabulary(name: str = "tiny") -> bytes:
    """The file `vocabulary.txt`: each piece and its log-probability, from id 3 on."""
    words = Processor.from_pretrained(name).tokenizer._model
    ids = range(words.unk_id() + 1, words.get_piece_size())
    return " ".join(f"{words.id_to_piece(i)} {words.get_score(i):.9g}" for i in ids).encode()


def files() -> dict[str, bytes]:
    """Name and content."""
    return {"model.safetensors": weights(), "vocabulary.txt": vocabulary()}


def write(folder: Path, contents: dict[str, bytes]) -> None:
    """Write files, each whole or not there."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in contents.items():
        part = folder / f"{name}.part"
        part.write_bytes(content)
        os.replace(part, folder / name)


def _build_finished(app: Sphinx, exception):
    if not exception and app.builder.format == "html":
        write(Path(app.outdir) / "_static/tiny", files())


def setup(app: Sphinx):
    app.connect("build-finished", _build_finished)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
