"""A linear probe and nearest neighbours on frozen features."""

import pytest
import torch
from small_pictures import pictures
from torch.nn import functional as F

import siglip_lab as sl
from siglip_lab.training import Pairs, class_features, linear_probe, nearest_neighbours


def clouds(n=60, classes=3, seed=0):
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(n) % classes
    centres = torch.eye(classes, 8)
    noise = 0.2 * torch.randn(n, 8, generator=generator)
    return F.normalize(centres[labels] + noise, dim=-1), labels


def test_the_probe_is_at_the_minimum_of_its_cost():
    x, labels = clouds()
    probe = linear_probe(x, labels, l2=0.01)
    assert probe.accuracy(*clouds(seed=1)) > 0.9
    spread = x.double().std(0, correction=0)
    weight, bias = (p.clone().requires_grad_() for p in probe)
    penalty = 0.005 * (weight * spread).square().sum()
    (F.cross_entropy(F.linear(x.double(), weight, bias), labels) + penalty).backward()
    assert weight.grad.abs().max() < 1e-5 and bias.grad.abs().max() < 1e-5
    torch.manual_seed(3)
    again = linear_probe(x, labels, l2=0.01)
    assert torch.equal(again.weight, probe.weight)


def test_the_probe_is_scikit_learns():
    linear_model = pytest.importorskip("sklearn.linear_model")
    x, labels = clouds()
    z = (x - x.mean(0)) / x.std(0, correction=0)
    theirs = linear_model.LogisticRegression(C=1 / (0.01 * len(x)), tol=1e-10, max_iter=10_000)
    theirs.fit(z.double().numpy(), labels.numpy())
    expected = torch.tensor(theirs.decision_function(z.double().numpy())).softmax(1)
    found = linear_probe(x, labels, l2=0.01).logits(x).softmax(1)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def test_neighbours_vote():
    x, labels = clouds()
    queries, own = clouds(seed=2)
    found = nearest_neighbours(x, labels, queries, k=7)
    assert (found == own).double().mean() > 0.9
    nearest = labels[(queries @ x.T).argmax(1)]
    assert torch.equal(nearest_neighbours(x, labels, queries, k=1), nearest)
    by_hand = torch.zeros(3)
    cosines, rows = (queries[:1] @ x.T).topk(7)
    for cosine, row in zip(cosines[0], rows[0], strict=True):
        by_hand[labels[row]] += (cosine / 0.07).exp()
    assert found[0] == by_hand.argmax()


def test_features_of_grouped_pictures():
    model, processor = sl.SigLIP.from_pretrained("tiny"), sl.Processor.from_pretrained("tiny")
    features, labels, names = class_features(model, processor, Pairs(pictures(12, group=True)))
    assert features.shape == (12, 72) and labels.tolist() == [i % 6 for i in range(12)]
    assert names[labels[2]] == "blue"
    assert (nearest_neighbours(features[:6], labels[:6], features[6:], k=1) == labels[6:]).all()
    with pytest.raises(ValueError, match="no classes"):
        class_features(model, processor, Pairs(pictures(2)))


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda x, y: linear_probe(x, y[:-1]), r"labels \[59\]"),
        (lambda x, y: linear_probe(x, y * 0), "all labels are 0"),
        (lambda x, y: linear_probe(x, y.float()), "whole numbers from 0"),
        (lambda x, y: linear_probe(x, y - 1), "whole numbers from 0"),
        (lambda x, y: linear_probe(x, y, l2=0), "l2 is 0"),
        (lambda x, y: nearest_neighbours(x, y, x, k=61), "k is 61, but there are 60"),
        (lambda x, y: nearest_neighbours(x, y, x, k=0), "k must be at least 1"),
    ],
)
def test_what_is_refused(call, said):
    with pytest.raises(ValueError, match=said):
        call(*clouds())
