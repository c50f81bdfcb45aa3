"""More hands for a training on emoji: five older or smaller sets, matched by their names.

They draw some of the emoji only, so they are no part of the data set; a model that is to know a
thing whoever drew it learns from each of them. OpenMoji and Emoji One v1 are share-alike (CC BY-SA
4.0): pictures made from them stay so, and none leaves the folder.

Run ``python -m benchmarks.emoji_hands OUT``; it needs npm and ``pip install 'siglip-lab[emoji]'``.
"""

from __future__ import annotations

import argparse
import json
import re
import unicodedata
from pathlib import Path

import numpy as np

from siglip_lab.emoji import Drawing, load
from siglip_lab.emoji.build import (
    CACHE,
    PACKAGES,
    _key,
    _read,
    _renderer,
    _svg,
    build_folder,
    fetch,
)
from siglip_lab.emoji.data import Emoji

# Name and version, SHA-512 as the registry states it; the licence is the package's own word
HANDS = {
    "noto-v1": (
        "@iconify-json/noto-v1@1.2.5",  # Google, Apache-2.0: the blobs, of the hand of Noto
        "/DsVMius69Q0fRS53z7QK1TROSuar606jiIx+laXtdsYGMXpf6LtHBx6CGfoo3UHHb/XpBsw+1L1x3eyPqMuVA==",
    ),
    "emojione": (
        "@iconify-json/emojione@1.2.3",  # EmojiTwo, CC-BY-4.0
        "T9+T3HIbJNLKKsmxYKlaYhvnHYkz/HNYTV7SHCXVZPfeUi4FqskY70YeN8yYAZT8cCv7w5vJxS4Q1m8zb9CMMg==",
    ),
    "emojione-v1": (
        "@iconify-json/emojione-v1@1.2.3",  # Emoji One, CC-BY-SA-4.0
        "UjI2VQEXVtGlPBvQuxEizro7QCgBcJDOYwKUupquvvZ8UV4xOlvm45IU82JYWegiAWLerY79gFLMZ26U6Ms+ww==",
    ),
    "fxemoji": (
        "@iconify-json/fxemoji@1.2.2",  # Mozilla, Apache-2.0
        "UAasRaxzFUKfIGSmLwnoarsssA4LX0VLLuEmplIqM6ZNQqIQRtav8tZ4H1neTlBreXuMQyAifr5jP4kn78DpiQ==",
    ),
    "streamline": (
        "@iconify-json/streamline-emojis@1.2.4",  # Streamline, CC-BY-4.0
        "iNr9T9XuZVTyQPJO8ZlLxBzPkpi7qMl+z1l0C31vpEMqhPMelth3n7CeWQYtixdetDPdI81yeG4ROqjWpYJE6A==",
    ),
}
SIZE = 40


def build(out: Path, cache: Path = CACHE) -> None:
    """Write OpenMoji's sheet, and an array of drawings with their code points for each hand."""
    build_folder(out / "openmoji", ["openmoji"], cache=cache)
    render, known = _renderer(), _known_names(cache)
    for hand, package in HANDS.items():
        icons = json.loads(_read(fetch(*package, cache), r"(icons)\.json")["icons"])
        found: dict[str, str] = {}
        for name in icons["icons"]:
            plain = _squash(re.sub(r"^u[0-9a-f]{4,5}-|-\d$", "", name))
            if code_points := known.get(_squash(name)) or known.get(plain):
                found.setdefault(code_points, name)
        pictures = [render(_svg(icons, name, SIZE), SIZE) for name in found.values()]
        np.savez_compressed(
            out / f"{hand}.npz",
            code_points=np.array(list(found)),
            pixels=np.stack([_on_white(picture) for picture in pictures]),
        )
        print(f"{hand}: {len(found)} drawings")


def load_hands(folder: Path, emoji: dict[str, Emoji]) -> list[Drawing]:
    """Load what `build` wrote, for the emoji given by their code points."""
    drawings = []
    for hand in HANDS:
        with np.load(folder / f"{hand}.npz") as file:
            pairs = zip(file["code_points"].tolist(), file["pixels"], strict=True)
            drawings += [Drawing(emoji[key], hand, pixels) for key, pixels in pairs]
    return drawings


def _known_names(cache: Path) -> dict[str, str]:
    """Code points by name: CLDR's, Unicode's, and those of the packages that say both."""
    every = {drawing.emoji.code_points: drawing.emoji for drawing in load(["noto"])}
    known: dict[str, str] = {}
    for key, emoji in every.items():
        known.setdefault(_squash(emoji.names["en"]), key)
    for key in every:
        if "-" not in key:
            known.setdefault(_squash(unicodedata.name(chr(int(key, 16)), "")), key)
    for artist in ("noto", "twemoji", "openmoji", "fluent-flat"):
        archive = fetch(*PACKAGES[artist], cache)
        for code_points, name in json.loads(_read(archive, r"(chars)\.json")["chars"]).items():
            if _key(code_points) in every:
                known.setdefault(_squash(name), _key(code_points))
    return known


def _squash(name: str) -> str:
    """Letters and figures alone: one package writes "alarm-clock", another "alarmclock"."""
    return re.sub(r"[^a-z0-9]+", "", name.lower())


def _on_white(picture) -> np.ndarray:
    x = np.asarray(picture, dtype=np.float32)
    alpha = x[..., 3:] / 255
    return np.rint(x[..., :3] * alpha + 255 * (1 - alpha)).astype(np.uint8)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Build drawings of more hands.")
    parser.add_argument("out", type=Path)
    parser.add_argument("--cache", type=Path, default=CACHE)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    build(options.out, options.cache)
