"""The command ``siglip-lab evaluate``."""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any

from siglip_lab.evaluate.authors import expected
from siglip_lab.evaluate.known_tests import open_test
from siglip_lab.families import load_pair
from siglip_lab.pairs import default_device
from siglip_lab.terminal import show, utf_8, whole_number
from siglip_lab.training.measuring import measure

__all__ = ["add_evaluate"]

_EPILOG = """examples:
  siglip-lab evaluate digits                                     what tiny makes of handwriting
  siglip-lab evaluate imagenet/val --model MODEL --workers 8     zero-shot accuracy
  siglip-lab evaluate coco --model MODEL                         dataset_coco.json beside val2014
  siglip-lab evaluate PICTURES --model OUT --json                a folder as train takes it"""
_CLASSES = {"name@1": "top-1 accuracy", "name@5": "top-5 accuracy"}
_CAPTIONS = {
    "name@1": "image to text, recall@1", "name@5": "image to text, recall@5",
    "find@1": "text to image, recall@1", "find@5": "text to image, recall@5",
}  # fmt: skip


def add_evaluate(commands: Any) -> None:
    """Add ``evaluate`` to the command line's commands."""
    parser = commands.add_parser(
        "evaluate",
        help="measure zero-shot accuracy or retrieval: ImageNet, COCO, Flickr30k, your own",
        description="Measure a model on pictures with classes (top-1 and top-5 accuracy) or with "
        "captions (recall both ways).",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    number, some = whole_number(1, 10**9), whole_number(0, 10**9)
    add = parser.add_argument
    add(
        "data", metavar="DATA",
        help="ImageNet's folder of 1,000 classes; a folder with dataset_coco.json or "
        "dataset_flickr30k.json (Karpathy's) and its pictures; digits; or whatever train reads",
    )  # fmt: skip
    add("--model", default="tiny", metavar="WHERE", help="as for classify (default: %(default)s)")
    add(
        "--template", action="append", type=utf_8, metavar="TEXT",
        help="sentence around names of classes; may be repeated (default: the test's own)",
    )  # fmt: skip
    add("--batch-size", type=number, default=32, help="pictures at once (default: %(default)s)")
    add("--workers", type=some, default=0, help="processes that read pictures (default: 0)")
    add("--device", help="such as cuda or cpu (default: a GPU if there is one)")
    add("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=_evaluate)


def _evaluate(options: argparse.Namespace) -> None:
    pairs = open_test(options.data, options.template)
    if options.template and not pairs.grouped:
        raise ValueError(
            f"--template is for names of classes; the captions here ({pairs.how}) are whole: "
            "leave it away"
        )
    model, processor = load_pair(options.model)
    model = model.to(options.device or default_device())
    found = measure(
        model, processor, pairs, options.batch_size, options.workers, sys.stderr.isatty()
    )
    known = {} if options.template else expected(options.model, pairs)
    if options.json:
        content = {"data": pairs.how, "model": options.model, **found, "published": known}
        print(json.dumps(content, indent=2))
        return
    left_out = len(pairs) - int(found["pictures"]) + len(pairs.left_out)
    lines = [f"{options.model} on {pairs.how}"]
    for name, words in (_CLASSES if pairs.grouped else _CAPTIONS).items():
        authors = f"   the authors: {known[name]:.1%}" if name in known else ""
        lines.append(f"  {words:<24} {found[name]:6.1%}{authors}")
    lines.append(f"  among {found['texts']:,.0f} {'classes' if pairs.grouped else 'captions'}")
    if left_out:
        lines.append(f"  left out, unreadable or without a text: {left_out:,}")
    show("\n".join(lines))
