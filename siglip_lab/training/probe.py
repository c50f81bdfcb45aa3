"""What frozen features know already: a linear probe, and the nearest neighbours."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from siglip_lab.checks import check_integer
from siglip_lab.inference import embed_images
from siglip_lab.model import SigLIP
from siglip_lab.processor import Processor
from siglip_lab.training.data import Pairs

__all__ = ["LinearProbe", "class_features", "linear_probe", "nearest_neighbours"]

TEMPERATURE = 0.07  # of the neighbours' votes, as in "Instance Discrimination" and DINO
_ROUNDS = 500  # of L-BFGS, at most


class LinearProbe(NamedTuple):
    """A linear classifier of features; its classes are numbers from 0."""

    weight: Tensor  # [C, E]
    bias: Tensor  # [C]

    def logits(self, features: Tensor) -> Tensor:
        """Scores of the classes, `[n, C]`, for features `[n, E]`."""
        return F.linear(features.to(self.weight), self.weight, self.bias)

    def accuracy(self, features: Tensor, labels: Tensor) -> float:
        """The share of features `[n, E]` whose best class is their own, of labels `[n]`."""
        found = self.logits(features).argmax(1)
        return (found == labels.to(found.device)).double().mean().item()


def class_features(
    model: SigLIP, processor: Processor, pairs: Pairs, batch_size: int = 32, num_workers: int = 0
) -> tuple[Tensor, Tensor, list[str]]:
    """Embed the pictures of grouped pairs, such as of class folders.

    Returns:
        Unit vectors `[n, E]`, the number of each picture's group `[n]`, and the groups' names.
    """
    if not pairs.grouped:
        raise ValueError(
            "the pictures have captions and no classes: give each a group, or put them into class "
            "folders"
        )
    images = (picture.image for picture in pairs)
    given = [image() if callable(image) else image for image in images]
    features = embed_images(model, processor, given, batch_size, num_workers)
    labels = torch.tensor([pairs.ids(picture)[0] for picture in pairs])
    return features.cpu(), labels, list(pairs.texts)


def linear_probe(features: Tensor, labels: Tensor, l2: float = 1e-3) -> LinearProbe:
    """Fit a linear classifier to frozen features: logistic regression, to the end.

    Each feature is scaled to mean 0 and variance 1, and the cost is the mean cross-entropy plus
    half of `l2` times the squared weights. It has one minimum, which L-BFGS finds in float64: the
    answer depends neither on a seed nor on a learning rate.

    Args:
        features: `[n, E]`, such as `embed_images` gives.
        labels: The classes, `[n]`, from 0.
        l2: How much large weights cost: more where labels are few. Choose it on data held out.

    Raises:
        ValueError: If shapes do not fit, there are less than two classes, or `l2` is not above 0.

    >>> probe = linear_probe(torch.tensor([[1.0, 0], [0.9, 0], [0, 1]]), torch.tensor([0, 0, 1]))
    >>> probe.accuracy(torch.tensor([[0.8, 0.1]]), torch.tensor([0]))
    1.0
    """
    _check(features, labels)
    if not l2 > 0:
        raise ValueError(f"l2 is {l2}; expected above 0: without it weights may grow for ever")
    classes = int(labels.max()) + 1
    if classes < 2:
        raise ValueError("all labels are 0: a probe tells at least two classes apart")
    x = features.detach().double()
    mean, spread = x.mean(0), x.std(0, correction=0).clamp(min=1e-6)
    x = (x - mean) / spread
    weight = x.new_zeros(classes, x.shape[1], requires_grad=True)
    bias = x.new_zeros(classes, requires_grad=True)
    optimizer = torch.optim.LBFGS(
        [weight, bias], max_iter=_ROUNDS, tolerance_grad=1e-7, line_search_fn="strong_wolfe"
    )

    def cost():
        optimizer.zero_grad()
        loss = F.cross_entropy(F.linear(x, weight, bias), labels) + l2 / 2 * weight.square().sum()
        loss.backward()
        return loss

    optimizer.step(cost)
    scaled = (weight / spread).detach()
    return LinearProbe(scaled, (bias - scaled @ mean).detach())


def nearest_neighbours(features: Tensor, labels: Tensor, queries: Tensor, k: int = 5) -> Tensor:
    """Let the k nearest known pictures vote for the class of new ones.

    A neighbour of cosine c has ``exp(c / 0.07)`` votes, so near ones count more.

    Args:
        features: Unit vectors of the known pictures `[n, E]`.
        labels: Their classes `[n]`, from 0.
        queries: Unit vectors of the new ones `[m, E]`.
        k: How many vote; at most n.

    Returns:
        Classes, int64 `[m]`.

    >>> known = torch.tensor([[1.0, 0], [0, 1]])
    >>> nearest_neighbours(known, torch.tensor([3, 1]), torch.tensor([[0.6, 0.8]]), k=1)
    tensor([1])
    """
    _check(features, labels)
    check_integer("k", k)
    if k > len(features):
        raise ValueError(f"k is {k}, but there are {len(features)} known pictures")
    cosines, found = (queries.to(features) @ features.T).topk(k)  # [m, k]
    votes = features.new_zeros(len(queries), int(labels.max()) + 1)
    weights = ((cosines - 1) / TEMPERATURE).exp()
    return votes.scatter_add_(1, labels.to(features.device)[found], weights).argmax(1)


def _check(features: Tensor, labels: Tensor) -> None:
    if features.ndim != 2 or labels.shape != features.shape[:1] or not len(labels):
        raise ValueError(
            f"features are {list(features.shape)}, labels {list(labels.shape)}; expected [n, E] and"
            " [n], n at least 1"
        )
    if labels.is_floating_point() or labels.min() < 0:
        raise ValueError(f"labels are {labels.dtype}; expected whole numbers from 0")
