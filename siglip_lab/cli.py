"""The command line: ``siglip-lab classify | trace | evaluate | train | …``.

Exit codes: 0 for success, 1 if something cannot be read, written or used, 2 for arguments that
cannot be parsed, 130 for Ctrl-C.
"""

from __future__ import annotations

import argparse
import json
import math
import os
from pathlib import Path

from siglip_lab import (
    Processor,
    SigLIP,
    Tokenizer,
    __version__,
    list_models,
    siglip2,
    trace,
    zero_shot,
)
from siglip_lab.checks import shown
from siglip_lab.counts import compare
from siglip_lab.evaluate.command import add_evaluate
from siglip_lab.export.command import add_export
from siglip_lab.families import load_pair, named_family
from siglip_lab.loading.pretrained import resolve
from siglip_lab.preprocessing import BICUBIC, BILINEAR
from siglip_lab.published import get_config
from siglip_lab.search.command import add_embed, add_search
from siglip_lab.speed.command import add_bench
from siglip_lab.tables import table
from siglip_lab.terminal import LINE, Parser, run, show, utf_8
from siglip_lab.training.command import add_train
from siglip_lab.training.lists import SUFFIXES

__all__ = ["main"]

_NO_NUMBERS = (
    "the model's answer is no number: its weights are damaged, or too large for their type; trace "
    "without --json shows where that begins"
)


def main(arguments: list[str] | None = None) -> int:
    """Run one command; returns the exit code.

    Args:
        arguments: What follows ``siglip-lab``; default: the process's own arguments.
    """
    options = _parser().parse_args(arguments)
    return run(lambda: options.run(options))


def _parser() -> Parser:
    parser = Parser(prog="siglip-lab", description="SigLIP, step by step: try it on a photo.")
    parser.add_argument("--version", action="version", version=f"siglip-lab {__version__}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")

    classify = commands.add_parser("classify", help="how probable is each caption for a photo?")
    _add_question(classify)
    classify.add_argument(
        "--template", default="This is a photo of {}.", type=utf_8, metavar="TEXT",
        help='sentence around each caption (default: "%(default)s"; "{}" leaves it as it is)',
    )  # fmt: skip
    classify.set_defaults(run=_classify)

    walk = commands.add_parser("trace", help="show every step of one forward pass")
    _add_question(walk)
    walk.set_defaults(run=_trace)

    models = commands.add_parser("models", help="list the models and their shapes")
    models.add_argument("--json", action="store_true", help="print JSON")
    models.set_defaults(run=_models)

    count = commands.add_parser("count", help="count the parameters or FLOPs of models")
    count.add_argument(
        "name", nargs="+",
        help='a model that "models" lists, or a CLIP ("ViT-B/32"); several are shown side by side',
    )  # fmt: skip
    count.add_argument(
        "--flops", action="store_true", help="FLOPs of one image and one text, not parameters"
    )
    count.add_argument("--json", action="store_true", help="print JSON")
    count.set_defaults(run=_count)

    convert = commands.add_parser(
        "convert", help="make a checkpoint folder of a file of big_vision or open_clip"
    )
    convert.add_argument("file", metavar="IN", help=".npz, .safetensors, .pt, .pth or .bin")
    convert.add_argument("folder", metavar="OUT", help="a folder that is empty or not there yet")
    convert.add_argument(
        "--tokenizer", metavar="FILE", help="its spiece.model, or SigLIP 2's tokenizer.json"
    )
    convert.add_argument(
        "--shape", metavar="NAME",
        help="the published model that the file must be (default: read off its tensors; for images "
        "of any shape, name it: siglip2-base-patch16-naflex)",
    )  # fmt: skip
    convert.set_defaults(run=_convert)

    fetch = commands.add_parser("download", help="fetch a checkpoint from a hub, print its folder")
    fetch.add_argument(
        "where", help='"siglip-so400m-patch14-384", "OWNER/NAME" or "modelscope:OWNER/NAME"'
    )
    fetch.set_defaults(run=lambda options: print(resolve(options.where)))

    add_export(commands)
    add_bench(commands)
    add_train(commands)
    add_evaluate(commands)
    add_embed(commands)
    add_search(commands)
    return parser


def _add_question(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--model", default="tiny", metavar="WHERE",
        help='a name that "models" lists, "OWNER/NAME" on Hugging Face, "modelscope:OWNER/NAME", '
        "or a checkpoint folder (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("photo", help="an image file")
    parser.add_argument("caption", nargs="+", type=utf_8, help='for example "2 red circles"')


def _check_captions(captions: list[str]) -> None:
    """Refuse a second photo where a caption belongs."""
    for caption in captions:
        if Path(caption).suffix.lower() in SUFFIXES and os.path.isfile(caption):
            raise ValueError(
                f"{shown(repr(caption))} is a file where a caption belongs: give one photo, then "
                "captions, and the command again for another photo"
            )


def _classify(options) -> None:
    _check_captions(options.caption)
    model, processor = load_pair(options.model)
    (row,) = zero_shot(model, processor, options.photo, options.caption, options.template).tolist()
    if any(map(math.isnan, row)):
        raise ValueError(_NO_NUMBERS)
    pairs = list(zip(options.caption, row, strict=True))
    if options.json:
        _print_json([{"caption": caption, "probability": p} for caption, p in pairs])
    else:
        for caption, p in sorted(pairs, key=lambda pair: -pair[1]):
            show(f"{p:7.2%}  {shown(caption, LINE)}")


def _trace(options) -> None:
    _check_captions(options.caption)
    model, processor = load_pair(options.model)
    inputs = processor(text=options.caption, images=options.photo)
    steps = trace(model, **inputs)  # type: ignore[arg-type]
    if options.json:
        _print_json(steps.to_dicts())
    else:
        show(str(steps))


def _models(options) -> None:
    rows = []
    for name in [*list_models(), *list_models(version=2), *siglip2.list_models()]:
        family = named_family(name).functions
        vision, text = family.get_config(name).vision, family.get_config(name).text
        rows.append(
            {
                "name": name,
                "image_size": None if family is siglip2 else vision.image_size,
                "patch_size": vision.patch_size,
                "num_patches": vision.num_patches, "context_length": text.context_length,
                "vocab_size": text.vocab_size, "width": vision.width, "depth": vision.depth,
            }
        )  # fmt: skip
    if options.json:
        _print_json(rows)
        return
    cells = [["any" if cell is None else cell for cell in row.values()] for row in rows]
    show(table([list(rows[0]), *cells]))


def _count(options) -> None:
    what = "count_flops" if options.flops else "count_parameters"
    families = {name: named_family(name).functions for name in options.name}
    counts = {name: getattr(f, what)(f.get_config(name)) for name, f in families.items()}
    if options.json:
        _print_json({name: count.to_dict() for name, count in counts.items()})
    else:
        show(compare(counts))


def _convert(options) -> None:
    folder = Path(options.folder)
    if folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
        raise ValueError(f"{folder} exists and is not an empty folder: name another one")
    if not Path(options.file).is_file():
        raise FileNotFoundError(f"there is no file {shown(repr(options.file))}")
    naflex = options.shape is not None and named_family(options.shape).functions is siglip2
    model = (siglip2.SigLIP2 if naflex else SigLIP).from_pretrained(
        options.file, config=options.shape
    )
    if options.tokenizer:
        _processor(options, model, naflex).save_pretrained(folder)
    model.save_pretrained(folder)
    total = sum(parameter.numel() for parameter in model.parameters())
    show(f"{shown(folder, LINE)}: {total:,} parameters, {model.config}")
    if not options.tokenizer:
        print("it holds the model alone: Processor.save_pretrained adds a processor")


def _processor(options, model: SigLIP, naflex: bool) -> Processor:
    """The processor of a model, with the tokenizer whose file the user gives."""
    text, image_size = model.config.text, model.config.vision.image_size
    gemma = Path(options.tokenizer).suffix == ".json"  # SigLIP 2's
    newer = naflex or model.config in [get_config(name) for name in list_models(version=2)]
    if newer and not gemma:
        raise ValueError(
            f"{options.file} is a SigLIP 2: give the tokenizer.json of a SigLIP 2 or of a Gemma, "
            f"not {options.tokenizer}"
        )
    kind = siglip2.Tokenizer if gemma else Tokenizer
    tokenizer = kind(options.tokenizer, text.context_length)
    if tokenizer.vocab_size > text.vocab_size:
        raise ValueError(
            f"{options.tokenizer} has {tokenizer.vocab_size} pieces, {options.file} allows "
            f"{text.vocab_size}: the two belong to different models"
        )
    if naflex:
        return siglip2.Processor(tokenizer, patch_size=model.config.vision.patch_size)
    return Processor(tokenizer, image_size, BILINEAR if gemma else BICUBIC)


def _print_json(content) -> None:
    """In ASCII, which any terminal shows and any program reads."""
    try:
        text = json.dumps(content, indent=2, allow_nan=False)
    except ValueError:
        raise ValueError(_NO_NUMBERS) from None
    print(text)
