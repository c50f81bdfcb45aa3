"""Numbers that others published of trained checkpoints, recomputed with the one at hand.

    pytest -m checkpoint --checkpoint siglip-so400m-patch14-384 --images FOLDER

``--checkpoint`` is what `from_pretrained` takes: a name, which is fetched, or a path. A row
of another model is skipped, and one whose picture is not in the folder says where to get it.
"""

import json
from pathlib import Path
from typing import NamedTuple

import pytest
import torch
from PIL import Image, ImageDraw

import siglip_lab as sl
from siglip_lab.loading.weights import read_json
from siglip_lab.model import TwoTowers
from siglip_lab.processor import Processor

pytestmark = pytest.mark.checkpoint
PUBLISHED = json.loads((Path(__file__).parent / "published.json").read_text(encoding="utf-8"))


class AtHand(NamedTuple):
    name: str
    model: TwoTowers
    processor: Processor


@pytest.fixture(scope="module")
def at_hand(request) -> AtHand:
    given = request.config.getoption("checkpoint")
    if given is None:
        pytest.skip("no weights at hand: pass --checkpoint NAME_OR_PATH")
    if _is_clip(Path(given)):
        family, model = sl.clip, sl.clip.CLIP.from_pretrained(given)
        names = sl.clip.list_models()
    elif sl.siglip2.is_naflex(given):
        family, model = sl.siglip2, sl.siglip2.SigLIP2.from_pretrained(given)
        names = sl.siglip2.list_models()
    else:
        family, model = sl, sl.SigLIP.from_pretrained(given)
        names = sl.list_models() + sl.list_models(version=2)
    name = next((name for name in names if family.get_config(name) == model.config), None)
    if name is None:
        pytest.skip(f"{given} has no published shape")
    where = name if family is sl.clip else given
    return AtHand(name, model, family.Processor.from_pretrained(where))


def _is_clip(path: Path) -> bool:
    config = path / "config.json"
    return path.suffix == ".pt" or (config.exists() and read_json(config)["model_type"] == "clip")


def draw_circle(height: int, width: int) -> Image.Image:
    """Blue with a green border on red, as transformers' test of NaFlex draws it."""
    image = Image.new("RGB", (width, height), "red")
    x, y = width // 2, height // 2
    radius = min(x, y) // 8 * 7
    box = (x - radius, y - radius, x + radius, y + radius)
    ImageDraw.Draw(image).ellipse(box, fill="blue", outline="green", width=width // 20)
    return image


def _file(request, entry: dict) -> Path:
    folder = request.config.getoption("images")
    path = Path(folder or ".") / entry["file"]
    if folder is None or not path.exists():
        pytest.skip(f"{entry['file']} is not at hand: get it from {entry['from']}, pass --images")
    return path


@pytest.mark.parametrize("row", PUBLISHED["rows"], ids=lambda row: row["id"])
@torch.no_grad()
def test_published_number(row, at_hand, request):
    if row["model"] != at_hand.name:
        pytest.skip(f"of {row['model']}; at hand is {at_hand.name}")
    model = at_hand.model
    if "texts" not in row:
        scalars = {"t": lambda: model.logit_scale.exp(), "logit_scale": lambda: model.logit_scale}
        found = scalars.get(row["quantity"], lambda: model.logit_bias)().squeeze()
    else:
        inputs = at_hand.processor(text=row["texts"])
        if "pixels" in row:  # not the processor's: see "about" in the file
            inputs["pixel_values"] = torch.load(_file(request, row["pixels"]), weights_only=True)
        elif "circles" in row:
            inputs |= at_hand.processor(images=[draw_circle(*size) for size in row["circles"]])
        else:
            image = _file(request, row["image"])
            inputs |= at_hand.processor(images=image)
        logits = model(**inputs).logits_per_image
        found = {
            "logits": logits,
            "probabilities": model.to_probabilities(logits),
            "probability of the first text": model.to_probabilities(logits)[0, 0],
        }[row["quantity"]]
    expected = torch.tensor(row["value"], dtype=found.dtype)
    torch.testing.assert_close(found, expected, rtol=row["rtol"], atol=row["atol"])


@pytest.mark.parametrize("text", PUBLISHED["tokens"]["ids"])
def test_published_tokens(text, at_hand):
    if at_hand.model.config.text.vocab_size != 32_000:
        pytest.skip(f"of SigLIP's English vocabulary; at hand is {at_hand.name}")
    assert at_hand.processor.tokenizer.encode(text) == PUBLISHED["tokens"]["ids"][text]


def test_an_end_token_in_a_text_ends_it_once(at_hand):
    if at_hand.model.config.text.vocab_size != 32_000:
        pytest.skip(f"of SigLIP's English vocabulary; at hand is {at_hand.name}")
    with_end = at_hand.processor(text=["hi</s>", "I went to the gym</s>", "</s>"])
    without = at_hand.processor(text=["hi", "I went to the gym", ""])
    assert torch.equal(with_end["input_ids"], without["input_ids"])
