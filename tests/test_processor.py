import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader

import siglip_lab as sl

PAIRS = [
    (Image.new("RGB", (50, 30), color), f"a {color} picture") for color in ("red", "green", "blue")
]


@pytest.fixture(scope="module")
def processor():
    return sl.Processor.from_pretrained("tiny")


def test_one_image_is_a_row_of_the_batch(processor):
    batch = processor(images=[image for image, _ in PAIRS])["pixel_values"]
    assert processor.transform(PAIRS[0][0]).shape == (3, 40, 40)
    for (image, _), row in zip(PAIRS, batch, strict=True):
        assert torch.equal(processor.transform(image), row)


@pytest.mark.parametrize("workers", [0, 2])
def test_collate_feeds_the_model_from_a_loader(processor, workers):
    expected = processor(text=[text for _, text in PAIRS], images=[image for image, _ in PAIRS])
    loader = DataLoader(PAIRS, batch_size=3, collate_fn=processor.collate, num_workers=workers)
    (batch,) = loader
    prepared = [(processor.transform(image), text) for image, text in PAIRS]
    mixed = [PAIRS[0], *prepared[1:]]
    for found in (batch, processor.collate(prepared), processor.collate(mixed)):
        assert found.keys() == expected.keys()
        assert all(torch.equal(found[name], expected[name]) for name in expected)
    assert sl.SigLIP.from_pretrained("tiny")(**batch).logits_per_image.shape == (3, 3)


def test_one_image_is_one(processor):
    with pytest.raises(TypeError):
        processor.transform([PAIRS[0][0], PAIRS[1][0]])


def test_inputs_move_and_only_pixels_change_their_type(processor):
    inputs = processor(text="a", images=PAIRS[0][0])
    moved = inputs.to("meta", torch.bfloat16)
    assert {name: (x.device.type, x.dtype) for name, x in moved.items()} == {
        "input_ids": ("meta", torch.int64),
        "pixel_values": ("meta", torch.bfloat16),
    }
    assert inputs["pixel_values"].dtype == torch.float32
    assert inputs.to(torch.bfloat16)["pixel_values"].dtype == torch.bfloat16
    assert inputs.to("cpu")["input_ids"].dtype == torch.int64


def test_long_texts_are_cut_or_refused(processor):
    long = "a red circle and " * 9
    assert processor(text=long)["input_ids"].shape == (1, 16)
    with pytest.raises(ValueError, match=r"texts\[1\]"):
        processor(text=["a red circle", long], truncate=False)
    fits = processor(text="a red circle", truncate=False)["input_ids"]
    assert torch.equal(fits, processor(text="a red circle")["input_ids"])


def test_one_side_may_be_left_out(processor):
    assert list(processor(text="a")) == ["input_ids"]
    assert list(processor(images=np.zeros((4, 4), np.uint8))) == ["pixel_values"]
    with pytest.raises(ValueError, match="text, images or both"):
        processor()
