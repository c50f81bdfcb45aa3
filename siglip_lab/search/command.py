"""The commands ``siglip-lab embed`` and ``siglip-lab search``."""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path
from typing import Any

import torch

from siglip_lab.checks import shown
from siglip_lab.families import load_pair
from siglip_lab.loading.pretrained import EMBEDDED, resolve
from siglip_lab.model import TwoTowers
from siglip_lab.pairs import default_device, has_bfloat16
from siglip_lab.search.answers import Hit, find
from siglip_lab.search.approximate import FACTORIES
from siglip_lab.search.embedding import embed
from siglip_lab.search.exact import check_k
from siglip_lab.search.index import Index, open_index
from siglip_lab.search.items import open_items
from siglip_lab.search.page import write_page
from siglip_lab.terminal import LINE, show, utf_8, whole_number
from siglip_lab.training.config import PRECISIONS
from siglip_lab.training.lists import SUFFIXES

__all__ = ["add_embed", "add_search"]

_EMBED = """examples:
  siglip-lab embed PICTURES OUT                            every picture in a folder, or in shards
  siglip-lab embed list.txt OUT --model MODEL --workers 8  a list of paths
  siglip-lab embed lines.txt OUT --texts                   a text on each line
  torchrun --nproc-per-node 8 -m siglip_lab embed …        eight GPUs

The same command again goes on with a run that was stopped or killed, with the same result."""
_SEARCH = """examples:
  siglip-lab search OUT "two dogs on a beach"              the ten best, with their cosines
  siglip-lab search OUT --image photo.jpg --page found.html
  siglip-lab search OUT "a cat" "a dog" --json -k 100
  siglip-lab search OUT "a cat" --kind hnsw                by FAISS, of the extra search"""


def add_embed(commands: Any) -> None:
    """Add ``embed`` to the command line's commands."""
    parser = commands.add_parser(
        "embed",
        help="embed many pictures or texts into an index to search",
        description="Embed pictures or texts once, and write an index that search reads.",
        epilog=_EMBED,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    number, some = whole_number(1, 10**9), whole_number(0, 10**9)
    add = parser.add_argument
    add(
        "data", metavar="DATA",
        help="a folder of pictures or of .tar files (webdataset's shards), a .tar, or a text file "
        "with the path of a picture on each line",
    )  # fmt: skip
    add("out", metavar="OUT", help="folder to write; an unfinished run in it goes on")
    add("--texts", action="store_true", help="DATA is a text file with a text on each line")
    add("--model", default="tiny", metavar="WHERE", help="as for classify (default: %(default)s)")
    add("--batch-size", type=number, default=32, help="how many at once (default: %(default)s)")
    add("--workers", type=some, default=0, help="processes that read pictures (default: 0)")
    add(
        "--precision", choices=PRECISIONS, default="auto",
        help="in which type the towers compute; auto: bfloat16 where the processor has it "
        "(default: %(default)s)",
    )  # fmt: skip
    add("--device", help="such as cuda or cpu (default: a GPU if there is one)")
    parser.set_defaults(run=_embed)


def add_search(commands: Any) -> None:
    """Add ``search`` to the command line's commands."""
    parser = commands.add_parser(
        "search",
        usage="siglip-lab search OUT [TEXT ...] [--image FILE] [OPTION ...]",
        help="find the best pictures of an index for a text or a picture",
        description="Search an index that embed has written, by texts or by pictures.",
        epilog=_SEARCH,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("index", metavar="OUT", help="what embed has written")
    add("text", metavar="TEXT", nargs="*", type=utf_8, help="what to look for")
    add(
        "--image", action="append", default=[], metavar="FILE", help="or a picture; may be repeated"
    )
    add("-k", type=whole_number(1, 10**9), help="how many results (default: 10)")
    add(
        "--kind", choices=("exact", *FACTORIES), default="exact",
        help="exact, or what FAISS builds once and keeps in OUT (default: %(default)s)",
    )  # fmt: skip
    add("--model", metavar="WHERE", help="where the index's model is now (default: where it was)")
    add("--json", action="store_true", help="print JSON")
    add("--page", metavar="FILE", help="write a page of thumbnails, such as found.html")
    parser.set_defaults(run=_search)


def _embed(options: argparse.Namespace) -> None:
    items = open_items(options.data, options.texts)
    model, processor = load_pair(options.model)
    able = options.precision == "auto" and has_bfloat16(options.device or default_device())
    half = able or options.precision == "bfloat16"
    index = embed(
        model.to(torch.bfloat16 if half else torch.float32),
        processor,
        items,
        options.out,
        options.batch_size,
        options.workers,
        options.device,
        *_origin(options.model, model),
    )
    if os.environ.get("RANK", "0") == "0":
        manifest = index.manifest
        words = f"{shown(options.out, LINE)}: {len(index):,} {manifest.kind}, "
        words += f"{manifest.width} numbers each, {index.vectors.nbytes / 1e6:,.1f} MB"
        if manifest.skipped:
            words += f"; {manifest.skipped:,} could not be read, see skipped.json"
        show(words)


def _origin(where: str, model: TwoTowers) -> tuple[str, str | None]:
    """How to find a model again: its name or its whole path, and the commit of a hub's."""
    if os.path.exists(where):
        return os.path.abspath(where), None
    if where in EMBEDDED:
        return where, None
    path = resolve(where, model.format.repositories, weights=False)
    return where, path.name if path.parent.name == "snapshots" else None


def _search(options: argparse.Namespace) -> None:
    if bool(options.text) == bool(options.image):
        raise ValueError("give one or more texts to look for, or pictures by --image FILE")
    for text in options.text:
        if Path(text).suffix.lower() in SUFFIXES and os.path.isfile(text):
            raise ValueError(
                f"{shown(repr(text))} is a file where a text belongs: search by a picture with "
                "--image FILE"
            )
    index = open_index(options.index)
    if options.k is not None:
        check_k(options.k, len(index))
    if options.page and Path(options.page).is_dir():
        raise IsADirectoryError(f"{shown(options.page, 120)} is a folder; expected a file to write")
    manifest = index.manifest
    where = options.model or manifest.model
    if not where:
        raise ValueError("the index does not say where its model is: give --model")
    if options.model is None and manifest.revision and "@" not in where:
        where = f"{where}@{manifest.revision}"
    model, processor = load_pair(where)
    asked = {"texts": options.text} if options.text else {"images": options.image}
    try:
        found = find(index, model.float(), processor, k=options.k, kind=options.kind, **asked)
    except ImportError as error:
        raise ValueError(str(error)) from error
    questions = options.text or options.image
    if options.page:
        write_page(index, questions, found, options.page)
    if options.json:
        rows = [
            {"question": question, "results": [hit._asdict() for hit in hits]}
            for question, hits in zip(questions, found, strict=True)
        ]
        print(json.dumps(rows, indent=2))
    else:
        show("\n\n".join(_lines(questions, found, index)))


def _lines(questions: list[str], found: list[list[Hit]], index: Index) -> list[str]:
    sections = []
    for question, hits in zip(questions, found, strict=True):
        lines = [f"{shown(question, LINE)}, in {len(index):,} {index.manifest.kind}"]
        for hit in hits:
            probability = "" if hit.probability is None else f"  {hit.probability:7.2%}"
            lines.append(f"  {hit.cosine:6.3f}{probability}  {shown(hit.name, LINE)}")
        sections.append("\n".join(lines))
    return sections
