"""The losses as one reads them; training uses `losses_at_scale`, which tests hold equal to them."""

import torch
from torch import Tensor
from torch.nn import functional as F

from siglip_lab.loss_checks import check_pairs

__all__ = ["clip_loss", "sigmoid_loss", "soft_target_loss"]


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
    true, text_ids = check_pairs(image_embeds, text_embeds, (logit_scale, logit_bias), labels)
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
    check_pairs(image_embeds, text_embeds, (logit_scale,))
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
    check_pairs(image_embeds, text_embeds, (logit_scale,))
    with torch.autocast(image_embeds.device.type, enabled=False):
        x, y, log_t = _accurate(image_embeds, text_embeds, logit_scale)
        logits = log_t.exp() * y @ x.T  # [n, n], a row for each text, as in the source
        targets = ((x @ x.T + y @ y.T) / 2 / log_t.exp()).softmax(dim=-1)  # [n, n]
        return (F.cross_entropy(logits, targets) + F.cross_entropy(logits.T, targets.T)) / 2


def _accurate(*tensors: Tensor) -> list[Tensor]:
    dtype = torch.promote_types(tensors[0].dtype, tensors[1].dtype)
    return [each.to(torch.promote_types(dtype, torch.float32)) for each in tensors]
