"""Use a model: which label fits this image, which image fits this text.

Chapter "Start here". No training is needed: the labels are texts like any other. Everything here
works with SigLIP and with CLIP.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor

from siglip_lab.checks import check_integer
from siglip_lab.model import SigLIP, TwoTowers, plain_model
from siglip_lab.processor import Processor
from siglip_lab.tokenizer import check_text, list_of

__all__ = ["zero_shot", "embed_images", "embed_texts", "retrieve"]


def zero_shot(
    model: TwoTowers,
    processor: Processor,
    images,
    labels: Iterable[str],
    template: str = "This is a photo of {}.",
) -> Tensor:
    """The probability of each label for each image.

    SigLIP: each pair is a question of its own, answered by a sigmoid. A row need not sum to one,
    several labels can be true of an image, and none may be. CLIP: each image chooses among the
    labels by a softmax, and its row sums to one.

    Args:
        model: The model.
        processor: Its processor.
        images: One image or a list, as `preprocess` takes them.
        labels: What could be in the images.
        template: Sentence into which a label is put at ``{}``. The default is the one of
            transformers' pipeline; "{}" takes labels as they are.

    Returns:
        Probabilities `[n_img, n_labels]`, float32, on the CPU.

    Raises:
        TypeError: If labels is a single string, or a label or the template is no string, or the
            model or the processor is none of this library's.
        ValueError: If there is no label, or no ``{}`` in the template.

    >>> import siglip_lab as sl
    >>> model, processor = sl.load_model("tiny"), sl.load_processor("tiny")
    >>> image = sl.shapes_world.draw(sl.shapes_world.random_scene(0))
    >>> zero_shot(model, processor, image, ["2 red circles", "a blue square"]).shape
    torch.Size([1, 2])
    """
    model = _checked(model, processor)
    if isinstance(labels, str):
        raise TypeError(f"labels is one string, {labels!r}; expected a list of strings")
    if not isinstance(labels, Iterable):
        raise TypeError(f"labels is {labels!r}; expected a list of strings")
    labels = list(labels)
    if not labels:
        raise ValueError("labels is empty; give at least one")
    for index, label in enumerate(labels):
        check_text(label, f"labels[{index}]")
    check_text(template, "template")
    if "{}" not in template:
        raise ValueError(f"template {template!r} has no {{}} to put the label in")
    texts = [template.replace("{}", label) for label in labels]
    with torch.no_grad():
        text_embeds = embed_texts(model, processor, texts)
        image_embeds = embed_images(model, processor, images)
        return model.probabilities(model.logits(image_embeds, text_embeds)).cpu()


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
        texts: One text or several.
        image_embeds: Embeddings `[n_img, D]` of the images, from `embed_images`, which can be
            kept: a search then costs one pass of the text tower.
        k: How many images to return for each text. Default: 5, or all where there are fewer.

    Returns:
        Probabilities `[n_txt, k]`, best first, and the images' indices `[n_txt, k]`. CLIP's are
        those of the text's choice among all the images.

    Raises:
        TypeError: If the embeddings are no tensor or array of floating point, or k is no integer,
            or the model or the processor is none of this library's.
        ValueError: If the embeddings are not `[n_img, D]`, D being the model's, or no unit
            vectors, or k is not between 1 and the number of images.
    """
    model = _checked(model, processor)
    if isinstance(image_embeds, np.ndarray):
        image_embeds = torch.tensor(image_embeds)
    if not isinstance(image_embeds, Tensor):
        raise TypeError(
            f"image_embeds are of type {type(image_embeds).__name__}; expected a tensor "
            "[n_img, D]: use embed_images(model, processor, images)"
        )
    shape, size = tuple(image_embeds.shape), model.config.embed_dim
    if len(shape) != 2 or shape[0] == 0 or shape[1] != size:
        raise ValueError(
            f"image_embeds have shape {shape}; expected [n_img, {size}] with n_img >= 1: "
            "use embed_images(model, processor, images) of the same model"
        )
    if not image_embeds.is_floating_point():
        raise TypeError(
            f"image_embeds are {image_embeds.dtype}; expected floating point, as embed_images makes"
            " them: turn stored integers back into unit vectors first"
        )
    k = min(5, len(image_embeds)) if k is None else k
    check_integer("k", k)
    if k > len(image_embeds):
        raise ValueError(f"k is {k}, but there are {len(image_embeds)} images")
    _check_lengths(image_embeds)
    with torch.no_grad():
        text_embeds = embed_texts(model, processor, texts)
        # In the texts' dtype, too: NumPy's is float64, which an Apple GPU has not.
        logits = model.logits(image_embeds.to(text_embeds), text_embeds)
        probabilities, indices = model.probabilities(logits.T).topk(k)
        return probabilities.cpu(), indices.cpu()


def embed_images(model: TwoTowers, processor: Processor, images, batch_size: int = 32) -> Tensor:
    """Images to unit vectors `[n_img, D]`, `batch_size` at a time, without gradients.

    Raises:
        TypeError, ValueError, FileNotFoundError: As `preprocess`, or if the batch size is no
            integer, or below 1, or the model or the processor is none of this library's.
    """
    model = _checked(model, processor)
    check_integer("batch_size", batch_size)
    if not isinstance(images, (list, tuple)):
        images = [images]
    if not images:
        raise ValueError("nothing to embed: the list is empty")

    def prepare(batch: slice) -> Tensor:
        try:
            return processor(images=images[batch])["pixel_values"]
        except (TypeError, ValueError, FileNotFoundError) as error:
            # The index in the message counts from the batch's first image.
            message = re.sub(
                r"^images\[(\d+)\]", lambda n: f"images[{batch.start + int(n[1])}]", str(error)
            )
            raise type(error)(message) from error.__cause__

    return _embed(model.encode_image, prepare, model, len(images), batch_size)


def embed_texts(
    model: TwoTowers, processor: Processor, texts: str | Iterable[str], batch_size: int = 256
) -> Tensor:
    """Texts to unit vectors `[n_txt, D]`, `batch_size` at a time, without gradients.

    Raises:
        TypeError: If a text is no string, or the batch size no integer, or the model or the
            processor is none of this library's.
        ValueError: If there is no text, or the batch size is below 1, or the processor is another
            model's.
    """
    model = _checked(model, processor)
    check_integer("batch_size", batch_size)
    if isinstance(texts, Iterable) and not isinstance(texts, str):
        texts = list(texts)
    input_ids = processor(text=list_of(texts))["input_ids"]
    model.text_model.embeddings.check_values(input_ids)
    length = model.config.text.context_length
    # CLIP's causal mask hides the padding; SigLIP was trained to read it.
    if isinstance(model, SigLIP) and input_ids.shape[1] != length:
        raise ValueError(
            f"the processor pads texts to {input_ids.shape[1]} tokens, the model reads {length}: "
            "take the processor of the same model, as load_processor gives it"
        )
    return _embed(model.encode_text, input_ids.__getitem__, model, len(input_ids), batch_size)


@torch.no_grad()
def _embed(encode, prepare, model: TwoTowers, count: int, batch_size: int) -> Tensor:
    device = model.logit_scale.device
    batches = (slice(start, start + batch_size) for start in range(0, count, batch_size))
    return torch.cat([encode(prepare(batch).to(device)) for batch in batches])


def _checked(model: TwoTowers, processor: Processor) -> TwoTowers:
    if not isinstance(processor, Processor):
        raise TypeError(
            f"processor is a {type(processor).__name__}; expected the model and its Processor: "
            "load_processor(NAME) gives one, Processor(tokenizer, image_size) makes one"
        )
    return plain_model(model)


@torch.no_grad()
def _check_lengths(image_embeds: Tensor) -> None:
    lengths = torch.linalg.vector_norm(image_embeds.float(), dim=1)
    wrong = ~((lengths - 1).abs() <= 0.01)  # half precision is off by less; NaN is wrong, too
    if wrong.any():
        index = int(wrong.int().argmax())
        raise ValueError(
            f"image_embeds[{index}] has length {lengths[index]:.4g}; expected unit vectors: use "
            "embed_images, or torch.nn.functional.normalize(image_embeds, dim=-1)"
        )
