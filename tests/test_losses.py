import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from siglip_lab import losses
from siglip_lab.losses import clip_loss, soft_target_loss
from siglip_lab.losses_at_scale import sigmoid_loss
from siglip_lab.pair_costs import has_kernel

SIGMOID_LOSSES = [losses.sigmoid_loss, sigmoid_loss]


def batch(n, width=16, dtype=torch.float32, seed=0):
    """Image and text embeddings, log t and b, all with gradients."""
    generator = torch.Generator().manual_seed(seed)
    x, y = (
        F.normalize(torch.randn(n, width, generator=generator, dtype=torch.float64), dim=-1)
        for _ in range(2)
    )
    values = x, (x + y) / (x + y).norm(dim=-1, keepdim=True), torch.tensor([2.3]), torch.tensor(-9)
    return [value.to(dtype).requires_grad_() for value in values]


def papers_sigmoid_loss(x, y, logit_scale, logit_bias, true=None):
    """Algorithm 1 of the SigLIP paper, word by word; with ``true``, other labels than its own."""
    n = len(x)
    logits = x @ y.T * logit_scale.exp() + logit_bias
    labels = 2 * (torch.eye(n) if true is None else true).to(x.dtype) - 1
    return -F.logsigmoid(labels * logits).sum() / n


def papers_clip_loss(x, y, logit_scale):
    """Figure 3 of the CLIP paper, with the softmax written out."""
    logits = x @ y.T * logit_scale.exp()
    of_images = (logits.exp() / logits.exp().sum(dim=1, keepdim=True)).diagonal().log()
    of_texts = (logits.exp() / logits.exp().sum(dim=0, keepdim=True)).diagonal().log()
    return -(of_images.mean() + of_texts.mean()) / 2


def written_out_soft_target_loss(x, y, logit_scale):
    temperature = 1 / logit_scale.exp()
    logits = y @ x.T / temperature
    targets = F.softmax((x @ x.T + y @ y.T) / 2 * temperature, dim=-1)
    texts = F.cross_entropy(logits, targets, reduction="none")
    images = -(targets.T * F.log_softmax(logits.T, dim=-1)).sum(dim=1)
    return ((texts + images) / 2).mean()


def compare(loss, reference, tensors, atol):
    found, expected = loss(*tensors), reference(*tensors)
    torch.testing.assert_close(found.reshape(()), expected.reshape(()), rtol=1e-6, atol=atol)
    found = torch.autograd.grad(found.sum(), tensors)
    expected = torch.autograd.grad(expected.sum(), tensors)
    for mine, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=0, atol=atol)


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 40), st.integers(1, 45), st.integers(0, 100))
def test_blocks_change_nothing(n, chunk, seed):
    compare(
        lambda *tensors: sigmoid_loss(*tensors, chunk_size=chunk),
        losses.sigmoid_loss, batch(n, dtype=torch.float64, seed=seed), atol=1e-12,
    )  # fmt: skip


@pytest.mark.parametrize("n", [1, 7, 600])
def test_losses_equal_their_references_in_float32(n):
    tensors = batch(n)
    for loss in SIGMOID_LOSSES:
        compare(loss, papers_sigmoid_loss, tensors, atol=1e-6)
    compare(clip_loss, papers_clip_loss, tensors[:3], atol=1e-6)
    compare(soft_target_loss, written_out_soft_target_loss, tensors[:3], atol=1e-6)


def labelled_batch(n, m, dtype=torch.float64, groups=4):
    """A batch of n images and m texts, and group ids; no text is of group 0."""
    x, y, *scalars = batch(max(n, m), dtype=dtype)
    tensors = [each.detach().clone().requires_grad_() for each in (x[:n], y[:m], *scalars)]
    generator = torch.Generator().manual_seed(n + m)
    image_ids = torch.randint(0, groups, (n,), generator=generator)
    return tensors, (image_ids, torch.randint(1, groups, (m,), generator=generator))


def pairs_of(ids):
    return ids[0][:, None] == ids[1]


def compare_labelled(tensors, labels, true, atol=1e-12, **options):
    """Both losses with the paper's, in value and in every gradient."""
    for loss, chosen in (losses.sigmoid_loss, {}), (sigmoid_loss, options):
        compare(
            lambda *t, loss=loss, chosen=chosen: loss(*t, labels=labels, **chosen),
            lambda *t: papers_sigmoid_loss(*t, true=true),
            tensors, atol=atol,
        )  # fmt: skip


@pytest.mark.parametrize(("n", "m"), [(7, 7), (5, 12), (12, 5), (1, 9), (9, 1)])
@pytest.mark.parametrize("chunk", [1, 4, 7, None])
def test_labels_by_matrix_and_by_group_ids(n, m, chunk):
    """Blocks that do not divide n, rows of several positives and rows of none."""
    tensors, ids = labelled_batch(n, m)
    true = pairs_of(ids)
    compare_labelled(tensors, true, true, chunk_size=chunk)
    compare_labelled(tensors, ids, true, chunk_size=chunk)
    compare_labelled(tensors, list(ids), true, chunk_size=chunk)


@pytest.mark.parametrize("value", [True, False])
def test_all_pairs_or_none_are_true(value):
    tensors, _ = labelled_batch(6, 9)
    true = torch.full((6, 9), value)
    compare_labelled(tensors, true, true, chunk_size=4)
    compare_labelled(tensors, (torch.zeros(6).long(), torch.full((9,), 1 - value)), true)


def test_one_tensor_of_ids_is_for_both():
    tensors, (ids, _) = labelled_batch(9, 9)
    for each in (ids, ids.int(), ids.to(torch.uint8), 2**62 + ids):
        compare_labelled(tensors, each, pairs_of((ids, ids)), chunk_size=4)
    compare_labelled(tensors, (ids.to(torch.uint8), ids), pairs_of((ids, ids)))


def test_ids_without_a_repeat_and_the_identity_are_the_diagonal():
    tensors = batch(9)
    expected = sigmoid_loss(*tensors, chunk_size=4)
    for labels in (torch.eye(9, dtype=torch.bool), torch.arange(9) * 7 - 3):
        assert torch.equal(sigmoid_loss(*tensors, labels=labels, chunk_size=4), expected)
        compare_labelled(tensors, labels, torch.eye(9), atol=1e-6)


@pytest.mark.parametrize("chunk", [3, None])
def test_an_image_may_have_several_ids(chunk):
    image_ids = torch.tensor([[0, 1], [2, -1], [1, 3], [-1, -1], [4, 0], [5, 5], [3, 1], [2, 4]])
    text_ids = torch.tensor([0, 2, 1, 3, 4, 5, 1, 2])
    true = (image_ids[:, :, None] == text_ids).any(1)  # by hand
    compare(
        lambda *t: sigmoid_loss(*t, labels=(image_ids, text_ids), chunk_size=chunk),
        lambda *t: papers_sigmoid_loss(*t, true=true),
        batch(8, dtype=torch.float64), atol=1e-12,
    )  # fmt: skip


def test_several_ids_are_for_the_loss_at_scale_and_for_images_only():
    x, y, *scalars = batch(2)
    several, one = torch.zeros(2, 3, dtype=torch.int64), torch.zeros(2, dtype=torch.int64)
    for labels in ((one, several), several, (several[:, :0], one), ()):
        with pytest.raises((TypeError, ValueError), match="labels"):
            sigmoid_loss(x, y, *scalars, labels=labels)
    with pytest.raises(TypeError, match="labels"):
        losses.sigmoid_loss(x, y, *scalars, labels=(several, one))


def test_labels_in_float32_and_with_large_logits():
    tensors, ids = labelled_batch(60, 70, dtype=torch.float32)
    compare_labelled(tensors, ids, pairs_of(ids), atol=1e-5, chunk_size=32)
    x = torch.tensor([[1.0, 0.0], [-1.0, 0.0]], requires_grad=True)
    scalars = torch.tensor(6.0), torch.tensor(0.0)
    confident = sigmoid_loss(x, x.detach(), *scalars, labels=torch.arange(2))
    assert confident.item() == pytest.approx(0, abs=1e-30)
    wrong = sigmoid_loss(x, x.detach(), *scalars, labels=torch.tensor([[0, 1], [1, 0]]).bool())
    assert wrong.item() == pytest.approx(2 * torch.tensor(6.0).exp().item(), rel=1e-6)


def test_labels_with_tensors_that_are_not_contiguous():
    (x, y, *scalars), ids = labelled_batch(8, 10)
    tensors = [each.detach().T.contiguous().T.requires_grad_() for each in (x, y)] + scalars
    assert not tensors[0].is_contiguous()
    true = pairs_of(ids)
    strided = [torch.stack([each, each + 1], dim=1)[:, 0] for each in ids]
    assert not strided[0].is_contiguous()
    for labels in (true.T.contiguous().T, true[:, :1].expand(8, 10), strided):
        compare_labelled(
            tensors, labels, labels if isinstance(labels, torch.Tensor) else true, chunk_size=3
        )


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_labels_in_half_precision_and_under_autocast(dtype):
    tensors, ids = labelled_batch(20, 30, dtype=dtype)
    exact = [tensor.detach().float().requires_grad_() for tensor in tensors]
    for labels in (ids, pairs_of(ids)):
        with torch.autocast("cpu", torch.bfloat16):
            found = sigmoid_loss(*tensors, labels=labels, chunk_size=16)
        assert torch.equal(found, sigmoid_loss(*tensors, labels=labels, chunk_size=16))
        expected = papers_sigmoid_loss(*exact, true=pairs_of(ids)).reshape(())
        torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-6)
        for mine, theirs in zip(
            torch.autograd.grad(found, tensors), torch.autograd.grad(expected, exact), strict=True
        ):
            assert mine.dtype == dtype
            torch.testing.assert_close(mine, theirs.to(dtype))


@pytest.mark.parametrize("loss", SIGMOID_LOSSES)
def test_gradcheck_with_labels(loss):
    (x, y, *scalars), ids = labelled_batch(4, 6)
    tensors = [x[:, :3].detach().requires_grad_(), y[:, :3].detach().requires_grad_(), *scalars]
    options = {"chunk_size": 4} if loss is sigmoid_loss else {}
    for labels in (ids, pairs_of(ids)):
        assert torch.autograd.gradcheck(
            lambda *t, labels=labels: loss(*t, labels=labels, **options), tensors
        )


def test_gradcheck():
    tensors = batch(5, width=3, dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda *t: sigmoid_loss(*t, chunk_size=2), tensors)
    assert torch.autograd.gradcheck(clip_loss, tensors[:3])
    assert torch.autograd.gradcheck(soft_target_loss, tensors[:3])


def test_the_plain_loss_has_second_derivatives():
    tensors = batch(3, width=2, dtype=torch.float64)
    assert torch.autograd.gradgradcheck(losses.sigmoid_loss, tensors)


def test_large_logits_in_float64_lose_no_digit():
    """softplus is linear above 20 unless told otherwise: 2e-9 of each such pair were missing."""
    tensors = batch(20, dtype=torch.float64)
    tensors[3] = torch.tensor(25.0, dtype=torch.float64, requires_grad=True)
    found, expected = (loss(*tensors).item() for loss in (sigmoid_loss, papers_sigmoid_loss))
    assert found == pytest.approx(expected, rel=1e-14)


def test_the_first_step_of_the_paper():
    """Batch 16,384 at cosine 0: a bias of -10 starts a thousand times lower than none."""
    n = torch.tensor(16384.0)
    start = -F.logsigmoid(torch.tensor(-10.0)) - (n - 1) * F.logsigmoid(torch.tensor(10.0))
    x = torch.zeros(64, 128).index_fill_(1, torch.tensor([0]), 1.0)
    y = torch.zeros(64, 128).index_fill_(1, torch.tensor([1]), 1.0)
    small = sigmoid_loss(x, y, torch.tensor(10.0).log(), torch.tensor(-10.0))
    per_pair = -F.logsigmoid(torch.tensor(10.0))
    assert small.item() == pytest.approx((start - (n - 64) * per_pair).item(), rel=1e-5)
    assert start.item() == pytest.approx(10.74, abs=0.01)


def test_transformers_computes_the_same():
    from parity import random_inputs, random_model, twin

    from siglip_lab import get_config

    model = random_model(get_config("tiny"))
    inputs = random_inputs(model.config)
    inputs = {key: value[:1].expand(1, *value.shape[1:]) for key, value in inputs.items()}
    with torch.no_grad():
        out = model(**inputs)
        expected = twin(model)(**inputs, return_loss=True).loss
    found = sigmoid_loss(out.image_embeds, out.text_embeds, model.logit_scale, model.logit_bias)
    torch.testing.assert_close(found.detach(), expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("loss", SIGMOID_LOSSES)
def test_half_precision_accumulates_in_float32(dtype, loss):
    tensors = batch(50, dtype=dtype)
    found = loss(*tensors, **({"chunk_size": 16} if loss is sigmoid_loss else {}))
    assert found.dtype == torch.float32
    exact = [tensor.detach().float().requires_grad_() for tensor in tensors]
    torch.testing.assert_close(found, papers_sigmoid_loss(*exact).reshape(()), rtol=1e-6, atol=1e-6)
    for mine, theirs in zip(
        torch.autograd.grad(found, tensors),
        torch.autograd.grad(papers_sigmoid_loss(*exact).sum(), exact),
        strict=True,
    ):
        assert mine.dtype == dtype
        torch.testing.assert_close(mine, theirs.to(dtype))


@pytest.mark.parametrize("loss", [*SIGMOID_LOSSES, clip_loss, soft_target_loss])
def test_autocast_changes_nothing(loss):
    tensors = batch(20)[: 4 if loss in SIGMOID_LOSSES else 3]
    with torch.autocast("cpu", torch.bfloat16):
        inside = loss(*tensors)
    outside = loss(*tensors)
    assert torch.equal(inside, outside)
    pairs = zip(*(torch.autograd.grad(each, tensors) for each in (inside, outside)), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)


def test_autocast_changes_no_gradient():
    """It once multiplied the gradient by log t in bfloat16."""
    tensors = batch(20)
    with torch.autocast("cpu", torch.bfloat16):
        inside = torch.autograd.grad(sigmoid_loss(*tensors), tensors)
    outside = torch.autograd.grad(sigmoid_loss(*tensors), tensors)
    assert all(torch.equal(a, b) for a, b in zip(inside, outside, strict=True))


def test_compile_keeps_one_graph():
    tensors = batch(12)
    compiled = torch.compile(sigmoid_loss, fullgraph=True, backend="aot_eager")
    compare(compiled, papers_sigmoid_loss, tensors, atol=1e-6)


def test_compile_keeps_one_graph_with_labels():
    tensors, ids = labelled_batch(8, 10, dtype=torch.float32)
    compiled = torch.compile(sigmoid_loss, fullgraph=True, backend="aot_eager")
    for labels in (ids, pairs_of(ids)):
        compare(
            lambda *t, labels=labels: compiled(*t, labels=labels),
            lambda *t: papers_sigmoid_loss(*t, true=pairs_of(ids)),
            tensors, atol=1e-6,
        )  # fmt: skip


def test_the_operator_keeps_pytorchs_rules():
    tensors, ids = labelled_batch(3, 4, dtype=torch.float32)
    for labels in ((None, None), (pairs_of(ids)[:, :3], None), (ids[0], ids[1][:3])):
        x, y, *scalars = tensors
        arguments = x, y[:3].detach().requires_grad_(), *scalars, *labels, 2, True, ""
        torch.library.opcheck(torch.ops.siglip_lab.sigmoid_loss, arguments)


class WithLoss(torch.nn.Module):
    def __init__(self, loss):
        super().__init__()
        self.loss = loss

    def forward(self, *tensors):
        return self.loss(*tensors)


@pytest.mark.parametrize("loss", [*SIGMOID_LOSSES, clip_loss, soft_target_loss])
def test_export_with_an_open_batch(loss):
    """len() of a tensor once made a constant of the batch."""
    count, n = 4 if loss in SIGMOID_LOSSES else 3, torch.export.Dim("n", min=2, max=4096)
    smaller, larger = (tuple(each.detach() for each in batch(n)[:count]) for n in (6, 9))
    shapes = (({0: n}, {0: n}, None, None)[:count],)
    exported = torch.export.export(WithLoss(loss), smaller, dynamic_shapes=shapes).module()
    torch.testing.assert_close(exported(*larger), loss(*larger))


@pytest.mark.parametrize("loss", [*SIGMOID_LOSSES, clip_loss, soft_target_loss])
def test_no_value_is_read(loss, monkeypatch):
    """Each reading would wait for a GPU, and could not be captured in a CUDA graph."""
    tensors, ids = labelled_batch(6, 6)

    def refuse(*_):
        raise AssertionError("a value was read")

    for name in ("item", "tolist", "numpy", "__bool__", "__float__", "__int__", "__index__"):
        monkeypatch.setattr(torch.Tensor, name, refuse)
    if loss in SIGMOID_LOSSES:
        for labels in (None, ids, pairs_of(ids)):
            loss(*tensors, labels=labels).sum().backward()
    else:
        loss(*tensors[:3]).sum().backward()


MEMORY = """
import sys
from pathlib import Path
import torch
from siglip_lab import sigmoid_loss

def peak(field):
    status = dict(line.split(":") for line in Path("/proc/self/status").read_text().splitlines())
    return int(status[field].split()[0]) * 1024

def step(n):
    x = torch.nn.functional.normalize(torch.randn(n, 32), dim=-1)
    tensors = [x.requires_grad_(), x.detach().clone(), torch.tensor(2.0), torch.tensor(-9.0)]
    labels = torch.arange(n) // 3 if sys.argv[1] == "ids" else None
    sigmoid_loss(*tensors, labels=labels, chunk_size=256).backward()

step(300)
Path("/proc/self/clear_refs").write_text("5")  # forget the peak
before = peak("VmRSS")
step(6000)
print(peak("VmHWM") - before)
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="Linux tells the peak")
@pytest.mark.parametrize("labels", ["none", "ids"])
def test_memory_stays_far_below_the_logits(labels):
    """Small tensors kept between the blocks once split the heap: it grew to n * n floats."""
    command = [sys.executable, "-c", MEMORY, labels]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, check=True, timeout=100
    )
    assert int(done.stdout) < 6000 * 6000 * 4 / 8


def test_large_logits_stay_finite():
    x = torch.tensor([[1.0, 0.0], [-1.0, 0.0]], requires_grad=True)
    loss = sigmoid_loss(x, x.detach().flip(0), torch.tensor(6.0), torch.tensor(0.0))
    assert loss.item() == pytest.approx(2 * torch.tensor(6.0).exp().item(), rel=1e-6)
    (grad,) = torch.autograd.grad(loss, x)
    assert grad.isfinite().all()


def test_without_gradients_none_are_computed():
    tensors = [tensor.detach() for tensor in batch(9)]
    assert not sigmoid_loss(*tensors).requires_grad
    with torch.no_grad():
        assert not sigmoid_loss(*batch(9)).requires_grad


@pytest.mark.parametrize("loss", [*SIGMOID_LOSSES, clip_loss, soft_target_loss])
@pytest.mark.parametrize(
    ("images", "texts"), [((1, 4), (2, 4)), ((2, 4), (2, 5)), ((0, 4), (0, 4)), ((4,), (4,))]
)
def test_only_square_batches_make_sense(loss, images, texts):
    """One image and two texts would be broadcast to a number that means nothing."""
    scalars = (torch.zeros(1),) * (2 if loss in SIGMOID_LOSSES else 1)
    with pytest.raises(ValueError, match="twice"):
        loss(torch.zeros(images), torch.zeros(texts), *scalars)


@pytest.mark.parametrize("loss", SIGMOID_LOSSES)
def test_with_labels_the_counts_may_differ_and_nothing_else(loss):
    labels = torch.zeros(2, 3, dtype=torch.bool)
    for images, texts in [((2, 4), (3, 5)), ((0, 4), (3, 4)), ((2, 4), (0, 4)), ((4,), (4,))]:
        with pytest.raises(ValueError, match="embeddings"):
            loss(torch.zeros(images), torch.zeros(texts), *batch(1)[2:], labels=labels)


def refusal(error, labels, n=2, m=2):
    x, y, *scalars = (tensor.detach() for tensor in batch(max(n, m)))
    for loss in SIGMOID_LOSSES:
        with pytest.raises(error, match="labels") as caught:
            loss(x[:n], y[:m], *scalars, labels=labels)
        assert len(str(caught.value)) <= 300


IDS = torch.arange(2)


@pytest.mark.parametrize(
    "labels",
    [
        torch.eye(2),
        2 * torch.eye(2, dtype=torch.long) - 1,
        torch.eye(2, dtype=torch.uint8),
        torch.rand(2),
        torch.tensor(1),
        (IDS, IDS.float()),
        (IDS, IDS == 1),
        (IDS, IDS, IDS),
        (IDS,),
        [0, 1],
        1024,
        IDS.numpy(),
    ],
)
def test_labels_that_are_neither_bool_nor_ids(labels):
    """Signs and soft labels would give a number that means nothing."""
    refusal(TypeError, labels)


@pytest.mark.parametrize(
    ("labels", "n", "m"),
    [
        (torch.ones(2, 3).bool(), 3, 2),
        (torch.ones(2).bool(), 2, 2),
        (torch.arange(3), 2, 2),
        (torch.arange(3), 3, 2),
        ((torch.arange(2), torch.arange(3)), 3, 2),
    ],
)
def test_labels_of_another_shape(labels, n, m):
    refusal(ValueError, labels, n, m)


def test_chunk_size_below_one():
    with pytest.raises(ValueError, match="chunk_size must be at least 1, got 0"):
        sigmoid_loss(*batch(3), chunk_size=0)


def test_tensors_of_two_types():
    x, y, *scalars = batch(4)
    found, expected = (loss(x, y.bfloat16(), *scalars) for loss in SIGMOID_LOSSES)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, expected)
    assert sigmoid_loss(x, y.double(), *scalars).dtype == torch.float64


def test_what_is_no_floating_tensor():
    x, y, *scalars = (tensor.detach() for tensor in batch(4))
    with pytest.raises(TypeError, match="embeddings"):
        sigmoid_loss(x.numpy(), y, *scalars)
    with pytest.raises(TypeError, match="embeddings"):
        clip_loss(x, y.long(), scalars[0])
    with pytest.raises(TypeError, match="chunk_size"):
        sigmoid_loss(x, y, *scalars, chunk_size=2.5)


@pytest.mark.filterwarnings("ignore:.torch.jit.script.:DeprecationWarning")
def test_second_and_forward_derivatives_are_refused():
    """PyTorch would say that they are zero."""
    x, y, log_t, b = batch(4)
    (grad,) = torch.autograd.grad(sigmoid_loss(x, y, log_t, b), x)  # the first is there
    assert grad.any()
    with pytest.raises(NotImplementedError, match="second derivative"):
        torch.autograd.grad(sigmoid_loss(x, y, log_t, b), x, create_graph=True)
    one = torch.ones_like(log_t)
    with pytest.raises(NotImplementedError, match="forward-mode"):
        torch.func.jvp(lambda log_t: sigmoid_loss(x, y, log_t, b), (log_t,), (one,))


def test_scalars_that_are_none():
    x, y, log_t, b = batch(4)
    with pytest.raises(ValueError, match="logit_bias"):
        sigmoid_loss(x, y, log_t, torch.zeros(4))
    with pytest.raises(TypeError, match="logit_scale"):
        clip_loss(x, y, 2.3)


def test_no_logits_are_kept_for_backward():
    """Saved: the gradients of both embeddings and of both scalars, nothing of size n * n."""
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(lambda x: kept.append(x.numel()), lambda x: x):
        sigmoid_loss(*batch(300, width=8), chunk_size=64)
    assert sorted(kept) == [1, 1, 300 * 8, 300 * 8]


# ---- on a GPU, or what runs there in Triton's interpreter ----------------------------------------

CUDA = torch.cuda.is_available()
DEVICE = torch.device("cuda" if CUDA else "cpu")
on_cuda = pytest.mark.skipif(not CUDA, reason="needs a CUDA GPU")
with_kernel = pytest.mark.skipif(not has_kernel(DEVICE), reason="needs a CUDA GPU, or Triton")


@pytest.mark.slow
@pytest.mark.skipif(CUDA or importlib.util.find_spec("triton") is None, reason="needs Triton alone")
def test_the_kernel_in_tritons_interpreter():
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", __file__, "-k"]
    done = subprocess.run(
        [*command, "with_the_kernel"],
        env=os.environ | {"TRITON_INTERPRET": "1"}, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0 and "passed" in done.stdout and "skipped" not in done.stdout


def device_batch(n, m, dtype, width=64, b=-9.0):
    generator = torch.Generator().manual_seed(n)
    x, y = (torch.randn(count, width, generator=generator) for count in (n, m))
    y[: min(n, m)] += 0.3 * x[: min(n, m)]
    values = *(F.normalize(each, dim=-1).to(dtype) for each in (x, y)), torch.tensor([2.3])
    return [each.to(DEVICE).requires_grad_() for each in (*values, torch.tensor(b))]


def errors(loss, tensors, **options):
    """Of the value and of each gradient, against float64: length of the difference over length."""
    exact = [tensor.detach().double().requires_grad_() for tensor in tensors]
    found, expected = (
        loss(*tensors, **options),
        losses.sigmoid_loss(*exact, labels=options["labels"]),
    )
    pairs = zip(
        [found, *torch.autograd.grad(found.sum(), tensors)],
        [expected, *torch.autograd.grad(expected.sum(), exact)],
        strict=True,
    )
    return [((a - b).norm() / b.norm()).item() for a, b in pairs]


LABELS = {
    "diagonal": lambda n, m: None,
    "ids": lambda n, m: tuple(torch.arange(k, device=DEVICE) % 7 for k in (n, m)),
    "matrix": lambda n, m: pairs_of([torch.arange(k, device=DEVICE) % 7 for k in (n, m)]),
}


@with_kernel
@pytest.mark.parametrize("labels", LABELS)
@pytest.mark.parametrize(
    ("dtype", "value", "gradient"),
    [
        (torch.float32, 5e-7, 2e-6),  # on a GPU it tells that no TF32 was used
        (torch.bfloat16, 5e-7, 5e-3),  # rounding the gradient itself makes 1.7e-3 of it
        (torch.float16, 5e-7, 5e-4),
    ],
)
def test_parity_with_the_kernel(dtype, value, gradient, labels):
    n, m = (150, 150) if labels == "diagonal" else (150, 269)
    labels = LABELS[labels](n, m)
    tensors = device_batch(n, m, dtype)
    found = errors(sigmoid_loss, tensors, labels=labels, chunk_size=64)
    print(dtype, [f"{each:.1e}" for each in found])
    assert found[0] < value and max(found[1:3]) < gradient and max(found[3:]) < 1e-5


@with_kernel
@pytest.mark.parametrize("b", [-30.0, -20.0, 20.0])
def test_small_costs_keep_their_digits_with_the_kernel(b):
    """1 + exp(-20) is 1 in float32: without care, a pair would cost nothing."""
    tensors = device_batch(40, 50, torch.float32, b=b)
    labels = torch.full((40, 50), b > 0, device=DEVICE)
    assert max(errors(sigmoid_loss, tensors, labels=labels)) < 1e-5


@with_kernel
def test_many_small_derivatives_in_float16_do_not_vanish_with_the_kernel():
    """exp(-17.5) is below the least float16, and 2000 of it are not."""
    x, y = torch.eye(2, 16, device=DEVICE), torch.eye(3, 16, device=DEVICE)[2:].expand(2000, 16)
    tensors = [x.half().requires_grad_(), y.half(), torch.tensor(2.3), torch.tensor(-17.5)]
    tensors[2:] = (each.to(DEVICE) for each in tensors[2:])
    labels = torch.zeros(2, 2000, dtype=torch.bool, device=DEVICE)
    (found,) = torch.autograd.grad(sigmoid_loss(*tensors, labels=labels), tensors[0])
    exact = [tensor.detach().double() for tensor in tensors]
    exact[0].requires_grad_()
    (expected,) = torch.autograd.grad(losses.sigmoid_loss(*exact, labels=labels), exact[0])
    torch.testing.assert_close(found.double(), expected, rtol=1e-3, atol=0)


@on_cuda
@pytest.mark.parametrize("labels", LABELS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_nothing_waits_for_the_gpu(dtype, labels):
    tensors, labels = device_batch(600, 600, dtype), LABELS[labels](600, 600)
    sigmoid_loss(*tensors, labels=labels, chunk_size=256).backward()  # Triton compiles
    torch.cuda.set_sync_debug_mode("error")
    try:
        sigmoid_loss(*tensors, labels=labels, chunk_size=256).backward()
    finally:
        torch.cuda.set_sync_debug_mode("default")


@on_cuda
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_step_in_a_cuda_graph(dtype):
    tensors = device_batch(600, 600, dtype)
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(2):
            torch.autograd.grad(sigmoid_loss(*tensors, chunk_size=256), tensors)
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        loss = sigmoid_loss(*tensors, chunk_size=256)
        gradients = torch.autograd.grad(loss, tensors)
    with torch.no_grad():  # other values in the same memory
        for tensor, other in zip(tensors, device_batch(600, 600, dtype, b=-3.0), strict=True):
            tensor.copy_(other.flip(0) if other.ndim else other)
    graph.replay()
    expected = sigmoid_loss(*tensors, chunk_size=256)
    torch.testing.assert_close(loss, expected, rtol=1e-6, atol=0)
    for mine, theirs in zip(gradients, torch.autograd.grad(expected, tensors), strict=True):
        torch.testing.assert_close(mine, theirs)


@on_cuda
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_compiled_on_a_gpu(dtype):
    tensors = device_batch(300, 300, dtype)
    compiled = torch.compile(sigmoid_loss, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(*tensors), sigmoid_loss(*tensors))
    gradients = (torch.autograd.grad(f(*tensors), tensors) for f in (compiled, sigmoid_loss))
    for mine, theirs in zip(*gradients, strict=True):
        torch.testing.assert_close(mine, theirs)


@on_cuda
def test_peak_memory_on_a_gpu():
    """Two sums in float32, a block in float32 and bfloat16; the logits alone would take 4.3 GB."""
    n, width = 32768, 256
    tensors = device_batch(n, n, torch.bfloat16, width)
    sigmoid_loss(*device_batch(64, 64, torch.bfloat16, width)).backward()  # workspace of cuBLAS
    before = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    sigmoid_loss(*tensors, chunk_size=4096).backward()
    extra = torch.cuda.max_memory_allocated() - before
    print(f"{extra / 1e6:.0f} MB")
    assert extra < 1.2 * (2 * 4 * n * width + 6 * 4096**2)
