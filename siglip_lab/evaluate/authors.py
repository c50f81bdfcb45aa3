"""The numbers to expect: what the authors publish of their checkpoints on the same tests."""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files
from typing import Any

from siglip_lab.training.data import Pairs

__all__ = ["expected", "published"]

# How `open_test` calls a test, how many pictures it has, and its columns of the published table
_TESTS = {
    ("ImageNet", 50_000): {"name@1": "ImageNet"},
    ("dataset_coco.json, split test", 5_000): {
        "name@1": "COCO, image to text", "find@1": "COCO, text to image",
    },
    ("dataset_flickr30k.json, split test", 1_000): {
        "name@1": "Flickr30k, image to text", "find@1": "Flickr30k, text to image",
    },
}  # fmt: skip


@cache
def published() -> dict[str, Any]:
    """What the authors publish of their checkpoints: accuracies, and the scalars of some.

    Returns:
        "source", "columns", "rows": name to its accuracies in per cent, None where nothing is
        published; "scalars" and "scalars_by_others": name to t and b.
    """
    return json.loads((files("siglip_lab") / "data" / "checkpoints.json").read_text("utf-8"))


def expected(model: str, test: Pairs) -> dict[str, float]:
    """What the authors measured with a checkpoint on a test.

    Args:
        model: A published name, with or without its owner.
        test: A whole test as `open_test` opens it.

    Returns:
        Shares, by the names of `measure`; nothing for another model, or another test.
    """
    values = published()["rows"].get(model.removeprefix("google/"))
    row = dict(zip(published()["columns"], values or (), strict=bool(values)))
    for (how, pictures), columns in _TESTS.items():
        if test.how.startswith(how) and len(test) == pictures:
            known = {name: row.get(column) for name, column in columns.items()}
            return {name: value / 100 for name, value in known.items() if value is not None}
    return {}
