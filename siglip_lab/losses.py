"""The losses as one reads them, with whole matrices of logits.

Training uses `siglip_lab.losses_at_scale`, held equal to `sigmoid_loss` in value and gradients.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

__all__ = ["check_batch", "clip_loss", "sigmoid_loss", "soft_target_loss"]


def sigmoid_loss(
    image_embeds: Tensor, text_embeds: Tensor, logit_scale: Tensor, logit_bias: Tensor, labels=None
) -> Tensor:
    """Ask of each pair of an image and a text whether the two belong together.

    Every pair weighs the same, so three true texts pull an image three times. big_vision and
    open_clip know the diagonal only, where they are this loss. SigLIP+ (siglip-kernel) divides a
    true pair's cost by the number of true pairs of its image and text, and the sum by n * m: with
    one true text each that is this loss over n, otherwise another loss.

    Args:
        image_embeds: Unit vectors `[n, D]`; nothing measures their length.
        text_embeds: Unit vectors `[n, D]`; with labels there may be m texts, `[m, D]`.
        logit_scale: log t, a scalar, as models store it; not t.
        logit_bias: b, a scalar.
        labels: True pairs; default: the diagonal. Either bool `[n, m]`, or integer group ids, `[n]`
            of images and `[m]` of texts, equal where they belong together, or one `[n]` for both.

    Returns:
        The sum over all pairs, over n: a scalar of at least float32, as of each loss here.

    Raises:
        TypeError, ValueError: If types (labels neither bool nor ids) or shapes do not fit.

    Source: SigLIP (arXiv 2303.15343), Algorithm 1.

    >>> x = torch.eye(3)
    >>> round(sigmoid_loss(x, x, torch.tensor(10.0).log(), torch.tensor(-10.0)).item(), 4)
    0.6932
    """
    true, text_ids = check_batch(image_embeds, text_embeds, (logit_scale, logit_bias), labels)
    with torch.autocast(image_embeds.device.type, enabled=False):
        x, y, log_t, b = _accurate(image_embeds, text_embeds, logit_scale, logit_bias)
        logits = log_t.exp() * x @ y.T + b  # [n, m]
        if true is None:
            true = torch.eye(x.shape[0], device=x.device)
        z = 2 * (true if text_ids is None else true[:, None] == text_ids).to(x.dtype) - 1  # +1, -1
        return -F.logsigmoid(z * logits).sum() / x.shape[0]


def clip_loss(image_embeds: Tensor, text_embeds: Tensor, logit_scale: Tensor) -> Tensor:
    """Let each image pick its text among all, and each text its image; the mean cross-entropy.

    Args and Raises: As `sigmoid_loss`, without labels. Source: CLIP (arXiv 2103.00020), figure 3.

    >>> x = torch.eye(3)
    >>> round(clip_loss(x, x, torch.tensor(0.0)).item(), 4)
    0.5514
    """
    check_batch(image_embeds, text_embeds, (logit_scale,))
    with torch.autocast(image_embeds.device.type, enabled=False):
        x, y, log_t = _accurate(image_embeds, text_embeds, logit_scale)
        logits = log_t.exp() * x @ y.T  # [n, n]
        own = torch.arange(x.shape[0], device=x.device)
        return (F.cross_entropy(logits, own) + F.cross_entropy(logits.T, own)) / 2


def soft_target_loss(image_embeds: Tensor, text_embeds: Tensor, logit_scale: Tensor) -> Tensor:
    """Let look-alikes share the probability: both cross-entropies to soft targets, their mean.

    The targets are the softmax of the mean of image-image and text-text products, over t, and have
    gradients, too. Args and Raises: As `clip_loss`. Source: Simple CLIP (``CLIP.py`` in
    github.com/moein-shariatnia/OpenAI-CLIP), where t = 1 and vectors have any length.

    >>> x = torch.eye(3)
    >>> round(soft_target_loss(x, x, torch.tensor(0.0)).item(), 4)
    0.9753
    """
    check_batch(image_embeds, text_embeds, (logit_scale,))
    with torch.autocast(image_embeds.device.type, enabled=False):
        x, y, log_t = _accurate(image_embeds, text_embeds, logit_scale)
        logits = log_t.exp() * y @ x.T  # [n, n]
        targets = ((x @ x.T + y @ y.T) / 2 / log_t.exp()).softmax(dim=-1)  # [n, n]
        return (F.cross_entropy(logits, targets) + F.cross_entropy(logits.T, targets.T)) / 2


def check_batch(
    x: Tensor, y: Tensor, scalars: tuple[Tensor, ...], labels=None
) -> tuple[Tensor | None, Tensor | None]:
    """Refuse wrong types and shapes, reading no value.

    Returns: Labels as bool `[n, m]` and None, or ids `[n]` and `[m]`, or, by default, None twice.
    """
    if not all(isinstance(each, Tensor) for each in (x, y, *scalars)):
        raise TypeError("embeddings, logit_scale and logit_bias must be tensors")
    if not (x.is_floating_point() and y.is_floating_point()):
        raise TypeError(f"embeddings are {x.dtype} and {y.dtype}; expected floating-point tensors")
    expected = "[n, D] twice, a text for each image" if labels is None else "[n, D] and [m, D]"
    matrices = x.ndim == y.ndim == 2 and x.numel() and y.numel() and x.shape[1] == y.shape[1]
    if not matrices or (labels is None and x.shape[0] != y.shape[0]):
        raise ValueError(f"embeddings are {list(x.shape)} and {list(y.shape)}; expected {expected}")
    if any(scalar.numel() != 1 for scalar in scalars):
        raise ValueError("logit_scale and logit_bias hold one number each; one here holds more")
    if labels is None:
        return None, None
    matrix = isinstance(labels, Tensor) and labels.dtype == torch.bool
    given = labels if isinstance(labels, (tuple, list)) else [labels] * (2 - matrix)
    if not matrix and not (len(given) == 2 and all(map(_are_ids, given))):
        raise TypeError(
            "labels must be a bool matrix [n, m], as labels > 0 makes of +1 and -1, or integer "
            f"ids: ([n], [m]) or one [n] for both; got {getattr(labels, 'dtype', type(labels))}"
        )
    shapes, (n, m) = [tuple(each.shape) for each in given], (x.shape[0], y.shape[0])
    if shapes != ([(n, m)] if matrix else [(n,), (m,)]):
        raise ValueError(f"labels of shape {shapes} do not fit {n} images, {m} texts")
    first, *second = (each.to(x.device, torch.bool if matrix else torch.int64) for each in given)
    return first, second[0] if second else None


def _are_ids(ids) -> bool:
    integers = torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64
    return isinstance(ids, Tensor) and ids.ndim == 1 and ids.dtype in integers


def _accurate(*tensors: Tensor) -> list[Tensor]:
    dtype = torch.promote_types(tensors[0].dtype, tensors[1].dtype)
    return [each.to(torch.promote_types(dtype, torch.float32)) for each in tensors]
