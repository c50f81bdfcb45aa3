"""Public tests in the folders in which people have them: ImageNet, COCO, Flickr30k, and digits.

Each is a `Pairs`, so what measures your own pictures measures them. Nothing is downloaded: their
pictures have licences of their own.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from pathlib import Path

from PIL import Image

from siglip_lab.checks import check_template, shown
from siglip_lab.images import load_image
from siglip_lab.tokenizer import canonicalize
from siglip_lab.toy.digits import load_digits
from siglip_lab.training.data import Pairs, Picture, named
from siglip_lab.training.lists import find_pictures, texts_of
from siglip_lab.training.sources import TEMPLATES, open_pairs

__all__ = ["digits", "imagenet", "karpathy", "open_test"]

CROP = 0.875  # of each side, around the middle: what big_vision looks at
CLASSES = 1000
DIGIT = 'a photo of the number: "{}".'
_CLASS = re.compile(r"n\d{8}")


def open_test(where: str | Path, templates: Iterable[str] | None = None) -> Pairs:
    """Open a test by what its folder holds.

    Args:
        where: One of

            - "digits": `digits`, which scikit-learn brings;
            - a folder of ImageNet's 1,000 class folders, or one that has them in ``val``:
              `imagenet`;
            - a folder with ``dataset_coco.json`` or ``dataset_flickr30k.json``: `karpathy`;
            - whatever `siglip_lab.training.open_pairs` reads.

        templates: Sentences around names of classes. Default: each test's own.

    Raises:
        FileNotFoundError, ValueError: If it is none of these.
    """
    if str(where) == "digits":
        return digits(templates or (DIGIT,))
    folder = Path(where)
    if folder.is_dir():
        for each in (folder, folder / "val"):
            if each.is_dir() and any(_CLASS.fullmatch(path.name) for path in each.iterdir()):
                return imagenet(each, templates)
        if lists := sorted(folder.glob("dataset_*.json")):
            return karpathy(lists[0])
    return open_pairs(where, templates or TEMPLATES)


# ---- ImageNet ------------------------------------------------------------------------------------


@lru_cache(maxsize=1)
def _openai() -> dict[str, list[str]]:
    text = (files("siglip_lab") / "evaluate" / "data" / "imagenet.json").read_text("utf-8")
    return json.loads(text)


def imagenet(
    folder: str | Path, templates: Iterable[str] | None = None, crop: float = CROP
) -> Pairs:
    """ImageNet's validation pictures, with the names and the sentences that papers use.

    Args:
        folder: 1,000 folders, ``n01440764`` and so on, of pictures: usually 50 each.
        templates: Sentences around the names. Default: OpenAI's 80, and the name alone, as
            big_vision has it; their mean embedding stands for the class.
        crop: The part of each side, around the middle, that is looked at.

    Source: big_vision, ``evaluators/proj/image_text/prompt_engineering.py`` (names, sentences,
    and how both are cleaned), ``configs/proj/image_text/common.py`` (the crop).
    """
    folder, openai = Path(folder), _openai()
    classes = sorted(path.name for path in folder.iterdir() if _CLASS.fullmatch(path.name))
    if len(classes) != CLASSES:
        raise ValueError(
            f"{shown(folder, 90)} has {len(classes)} of ImageNet's {CLASSES:,} class folders "
            f"({named(classes, 2)}); all are needed, for the names go by their order"
        )
    sentences = [*openai["templates"], "{}"] if templates is None else list(templates)
    captions = {
        name: tuple(dict.fromkeys(_cleaned(t, name_of) for t in sentences))
        for name, name_of in zip(classes, openai["names"], strict=True)
    }
    pictures = [
        Picture(f"{name}/{path.name}", _Cropped(path, crop), captions[name], name)
        for name in classes
        for path in find_pictures(folder / name)
    ]
    if not pictures:
        raise ValueError(f"{shown(folder, 90)}: its class folders hold no pictures")
    how = f"ImageNet: {len(pictures):,} pictures, {len(sentences)} sentences a class"
    return Pairs(pictures, groups=captions, how=how)


def _cleaned(template: str, name: str) -> str:
    return canonicalize(check_template([name], template)[0].replace("_", " "))


@dataclass(frozen=True)
class _Cropped:
    """The middle of a picture, read when it is needed."""

    path: Path
    share: float

    def __call__(self) -> Image.Image:
        picture = load_image(self.path)
        width, height = (round(side * self.share) for side in picture.size)
        left, top = (picture.width - width) // 2, (picture.height - height) // 2
        return picture.crop((left, top, left + width, top + height))


# ---- COCO and Flickr30k --------------------------------------------------------------------------


def karpathy(annotations: str | Path, split: str = "test") -> Pairs:
    """COCO's or Flickr30k's pictures with five captions each, in Karpathy's split.

    That split is what "COCO" and "Flickr30k" mean in tables of retrieval: 5,000 and 1,000 pictures.

    Args:
        annotations: ``dataset_coco.json`` or ``dataset_flickr30k.json``. The pictures lie in its
            folder or in folders of it (``val2014``, ``flickr30k-images``).
        split: Its name in the file: "test", "val", "train" or "restval".

    Source: Karpathy and Fei-Fei, "Deep Visual-Semantic Alignments" (2015), whose files these are;
    big_vision, ``retrieval.py``, counts in the same way, but for captions that two pictures share:
    here either picture is right.
    """
    path = Path(annotations)
    try:
        rows = json.loads(path.read_text("utf-8"))["images"]
        chosen = [row for row in rows if row["split"] == split]
        texts = [tuple(texts_of([s["raw"] for s in row["sentences"]])) for row in chosen]
        names = [row["filename"] for row in chosen]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"{shown(path, 90)} is not as Karpathy wrote it ({type(error).__name__}: "
            f'{shown(error, 60)}); expected {{"images": [{{"filename": ..., "split": ..., '
            '"sentences": [{"raw": ...}]}]}'
        ) from error
    if not chosen:
        splits = sorted({str(row["split"]) for row in rows})
        raise ValueError(f"{shown(path, 90)} has the splits {splits}; got {split!r}")
    found = {picture.name: picture for picture in find_pictures(path.parent)}
    missing = [name for name in names if name not in found]
    if missing:
        raise FileNotFoundError(
            f"{len(missing):,} of {len(names):,} pictures of {shown(path.name, 40)} are not in "
            f"{shown(path.parent, 60)} or folders of it: {named(missing, 2)}"
        )
    pairs = zip(names, texts, strict=True)
    how = f"{path.name}, split {split}: {len(names):,} pictures"
    return Pairs((Picture(name, found[name], own) for name, own in pairs), how=how)


# ---- what comes inside packages ------------------------------------------------------------------


def digits(templates: Iterable[str] = (DIGIT,)) -> Pairs:
    """500 handwritten digits, the test of `siglip_lab.toy.digits.load_digits`, among ten names.

    Source of the sentence: OpenAI's for MNIST, CLIP, ``data/prompts.md``.
    """
    data, sentences = load_digits(), list(templates)
    captions = {
        str(digit): tuple(dict.fromkeys(check_template([str(digit)], t)[0] for t in sentences))
        for digit in range(10)
    }
    pictures = []
    for i in data.test.tolist():
        digit = str(data.labels[i].item())
        pictures.append(Picture(f"digit {i}", data.pictures[i], captions[digit], digit))
    return Pairs(pictures, groups=captions, how="scikit-learn's handwritten digits, 500 pictures")
