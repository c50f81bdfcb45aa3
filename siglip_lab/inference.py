"""Use a model, chapter "Start here": which label fits this image, which image fits this text."""

from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from siglip_lab.checks import (
    as_list,
    check_embeddings,
    check_input_ids,
    check_integer,
    check_template,
    check_vocabulary,
)
from siglip_lab.images import ImageLike
from siglip_lab.model import TwoTowers
from siglip_lab.pairs import check_fit, read_ahead
from siglip_lab.processor import Processor

__all__ = ["embed_images", "embed_texts", "retrieve", "zero_shot"]

Images = ImageLike | Iterable[ImageLike]


@torch.no_grad()
def zero_shot(
    model: TwoTowers,
    processor: Processor,
    images: Images,
    labels: Iterable[str],
    template: str = "This is a photo of {}.",
    batch_size: int = 32,
) -> Tensor:
    """The probability of each label for each image: `[n_img, n_labels]`, float32, on the CPU.

    SigLIP: each pair is a question of its own; several labels can be true of an image, or none.
    CLIP: each image chooses among the labels, and its row sums to one. A label is put into the
    template at ``{}``; the default is the one of transformers' pipeline.

    >>> import siglip_lab as sl
    >>> model, processor = sl.SigLIP.from_pretrained("tiny"), sl.Processor.from_pretrained("tiny")
    >>> image = sl.shapes_world.draw(sl.shapes_world.random_scene(0))
    >>> zero_shot(model, processor, image, ["2 red circles", "a blue square"]).shape
    torch.Size([1, 2])
    """
    model = check_fit(model, processor)
    texts = check_template(labels, template)
    text_embeds = embed_texts(model, processor, texts)
    image_embeds = embed_images(model, processor, images, batch_size)
    return model.to_probabilities(model.logits(image_embeds, text_embeds)).cpu().float()


@torch.no_grad()
def retrieve(
    model: TwoTowers,
    processor: Processor,
    texts: str | Iterable[str],
    image_embeds: Tensor | np.ndarray,
    k: int | None = None,
) -> tuple[Tensor, Tensor]:
    """The k images that fit each text best.

    Args:
        model: The model.
        processor: Its processor.
        texts: What to look for: one text or several.
        image_embeds: Unit vectors `[n_img, E]`, from `embed_images`, which can be kept: a search
            then costs one pass of the text tower.
        k: How many images to return for each text. Default: 5, or all where there are fewer.

    Returns:
        Probabilities `[n_txt, k]`, best first, and the images' indices `[n_txt, k]`. CLIP's are
        those of the text's choice among all the images.
    """
    model = check_fit(model, processor)
    if k is not None:
        check_integer("k", k)
    embeds = check_embeddings(image_embeds, model.config.embed_dim)
    k = min(5, len(embeds)) if k is None else k
    if k > len(embeds):
        raise ValueError(f"k is {k}, but there are {len(embeds)} images")
    text_embeds = embed_texts(model, processor, texts)
    # In the texts' dtype, too: NumPy's is float64, which Apple GPUs lack.
    logits = model.logits(embeds.to(text_embeds), text_embeds)
    probabilities, indices = model.to_probabilities(logits.T).topk(k)
    return probabilities.cpu(), indices.cpu()


@torch.no_grad()
def embed_images(
    model: TwoTowers,
    processor: Processor,
    images: Images,
    batch_size: int = 32,
    num_workers: int = 0,
    on_error: str = "raise",
) -> Any:
    """Embed images, `batch_size` at a time, without gradients.

    Args:
        model: The model.
        processor: Its processor.
        images: One image or several, each as `load_image` takes it.
        batch_size: Images to compute at once.
        num_workers: Processes that read and prepare the next batches meanwhile. 0: none.
        on_error: What to do with an image that cannot be read: "raise" or "skip". What is no image
            at all is an error either way.

    Returns:
        Unit vectors `[n_img, E]`, on the model's device. With "skip", without those that were
        skipped, and beside them a dict: the index of each skipped image, and why.
    """
    model = check_fit(model, processor)
    if on_error not in ("raise", "skip"):
        raise ValueError(f'on_error is {on_error!r}; expected "raise" or "skip"')
    device, skipped = model.logit_scale.device, {}
    embeds = [torch.empty(0, model.config.embed_dim, device=device)]
    for inputs, errors in read_ahead(processor, images, batch_size, num_workers):
        for index, error in errors.items():
            if on_error == "raise" or isinstance(error, TypeError):
                raise error
            skipped[index] = str(error)
        if len(inputs["pixel_values"]):
            embeds.append(model.encode_image(**inputs.to(device)))
    return (torch.cat(embeds), skipped) if on_error == "skip" else torch.cat(embeds)


@torch.no_grad()
def embed_texts(
    model: TwoTowers, processor: Processor, texts: str | Iterable[str], batch_size: int = 256
) -> Tensor:
    """Embed texts, `batch_size` at a time, without gradients: unit vectors `[n_txt, E]`."""
    model = check_fit(model, processor)
    check_integer("batch_size", batch_size)
    if isinstance(texts, Iterable) and not isinstance(texts, str):
        texts = list(texts)
    length = model.config.text.context_length
    input_ids = processor(text=as_list(texts))["input_ids"]
    check_input_ids(input_ids, length)
    check_vocabulary(input_ids, model.config.text.vocab_size)
    if model.reads_padding and input_ids.shape[1] != length:
        raise ValueError(
            f"the processor pads texts to {input_ids.shape[1]} tokens, the model reads {length}: "
            "take the processor of the same model, Processor.from_pretrained(NAME)"
        )
    device = model.logit_scale.device
    return torch.cat([model.encode_text(ids.to(device)) for ids in input_ids.split(batch_size)])
