"""Results as a page: thumbnails beside their cosines, in one file that needs no other."""

from __future__ import annotations

import base64
import html
import io
from pathlib import Path

from PIL import Image

from siglip_lab.checks import shown
from siglip_lab.images import load_image
from siglip_lab.loading.folder import write_files
from siglip_lab.search.answers import Hit
from siglip_lab.search.index import Index

__all__ = ["write_page"]

SIDE = 240  # pixels of a thumbnail's longer side
_PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
:root {{ color-scheme: light dark; }}
body {{ font: 16px/1.4 system-ui, sans-serif; margin: 1.5rem; }}
ol {{ display: grid; grid-template-columns: repeat(auto-fill, minmax(10rem, 1fr)); gap: 1rem;
  list-style: none; padding: 0; }}
img {{ width: 100%; height: 10rem; object-fit: contain; }}
p {{ margin: 0; overflow-wrap: anywhere; }}
</style>
{sections}
</html>
"""


def write_page(
    index: Index, questions: list[str], found: list[list[Hit]], path: str | Path
) -> None:
    """Write an HTML page with the results of each question.

    Args:
        index: What was searched.
        questions: How to call each question.
        found: Its hits, best first, from `find`.
        path: The file to write.

    Raises:
        OSError: If it cannot be written; an older one stays.
    """
    path = Path(path)
    sections = []
    for question, hits in zip(questions, found, strict=True):
        rows = "\n".join(_item(index, hit) for hit in hits)
        sections.append(f"<h1>{html.escape(shown(question, 300))}</h1>\n<ol>\n{rows}\n</ol>")
    title = html.escape(shown(questions[0]))
    text = _PAGE.format(title=title, sections="\n".join(sections))
    write_files(path.parent, {path.name: text.encode()})


def _item(index: Index, hit: Hit) -> str:
    name = html.escape(shown(hit.name, 300))
    scores = f"cosine {hit.cosine:.3f}"
    if hit.probability is not None:
        scores += f", probability {hit.probability:.1%}"
    picture = ""
    if index.manifest.kind == "images":
        try:
            picture = (
                f'<img alt="{name}" src="data:image/jpeg;base64,{_thumbnail(index, hit.row)}">'
            )
        except (OSError, ValueError):
            picture = "<p><em>The picture is not there any more.</em></p>"
    return f"<li>{picture}<p>{name}</p><p>{scores}</p></li>"


def _thumbnail(index: Index, row: int) -> str:
    image = load_image(index.image(row))
    scale = SIDE / max(image.size)
    how = Image.Resampling.BICUBIC if scale < 1 else Image.Resampling.NEAREST
    image = image.resize([max(1, round(scale * side)) for side in image.size], how)
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=85)
    return base64.b64encode(buffer.getvalue()).decode()
