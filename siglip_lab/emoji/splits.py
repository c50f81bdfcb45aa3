"""What a model has not seen: another artist, another thing, another word for a thing.

Each split has "train", "validation" and "test"; whatever is chosen is chosen on validation. They
hang on code points and words alone, so they are the same for every choice of artists.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable

from siglip_lab.emoji.data import ARTISTS, Drawing, Emoji

__all__ = ["ROLES", "by_artist", "by_concept", "by_keyword", "family"]

ROLES = ("train", "validation", "test")

# Man, woman, person; the signs for male and female; what joins them to the rest
_PEOPLE = {"1f468", "1f469", "1f9d1", "2640", "2642", "200d"}


def by_artist(drawings: Iterable[Drawing]) -> dict[str, list[Drawing]]:
    """Split by hand: train on Fluent (and OpenMoji), choose on Noto, test on Twemoji.

    After the choice the last model may learn from Noto, too: Twemoji stays unseen.
    """
    parts: dict[str, list[Drawing]] = {role: [] for role in ROLES}
    for drawing in drawings:
        parts[ARTISTS[drawing.artist].role].append(drawing)
    return parts


def by_concept(drawings: Iterable[Drawing]) -> dict[str, list[Drawing]]:
    """Split by emoji, 80 : 10 : 10, each with its whole `family`."""
    parts: dict[str, list[Drawing]] = {role: [] for role in ROLES}
    for drawing in drawings:
        parts[_role(family(drawing.emoji))].append(drawing)
    return parts


def by_keyword(emoji: Iterable[Emoji], language: str = "en") -> dict[str, set[tuple[str, str]]]:
    """Split the pairs of code points and keyword, some 80 : 10 : 10, so that only the pair is new.

    Both halves of a pair outside of train are in train with others: the emoji with its name, the
    keyword with another `family`. Pairs whose keyword the name gives away stay in train.

    Args:
        emoji: What is trained on; twice the same counts once.
        language: Of the keywords.
    """
    pairs: dict[str, dict[str, list[tuple[Emoji, str]]]] = defaultdict(lambda: defaultdict(list))
    for each in dict.fromkeys(emoji):
        for keyword in each.keywords[language]:
            pairs[_stem(keyword)][family(each)].append((each, keyword))
    parts: dict[str, set[tuple[str, str]]] = {role: set() for role in ROLES}
    for stem, families in pairs.items():
        roles = {
            name: "train"
            if any(stem in _stem(each.names[language]) for each, _ in members)
            else _role(f"{stem} {name}")
            for name, members in families.items()
        }
        if "train" not in roles.values():  # nothing would be left to learn the word from
            roles = dict.fromkeys(families, "train")
        for name, members in families.items():
            parts[roles[name]] |= {(each.code_points, keyword) for each, keyword in members}
    return parts


def family(emoji: Emoji) -> str:
    """Name what an emoji is but for a person's sex: a woman running is 1f3c3, as is a man.

    A singer is a person joined with a microphone, and goes with the microphone.

    >>> family(Emoji("1f3c3-200d-2640", "People & Body", {}, {}))
    '1f3c3'
    """
    points = emoji.code_points.split("-")
    return "-".join([each for each in points if each not in _PEOPLE] or points)


def _role(key: str) -> str:
    """Draw one of ten lots, the same on every machine: eight for train, one each for the others."""
    lot = int.from_bytes(hashlib.blake2b(key.encode(), digest_size=8).digest(), "big") % 10
    return ROLES[max(0, lot - 7)]


def _stem(word: str) -> str:
    """A word without an s at its end, so that "animal" and "animals" go one way."""
    return word.casefold().removesuffix("s")
