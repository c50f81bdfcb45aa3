import os
import time

import pytest
import ranks
import torch
import torch.distributed as dist
from torch import nn
from torch.nn import functional as F
from torch.nn.parallel import DistributedDataParallel

from siglip_lab.losses_at_scale import distributed_sigmoid_loss, sigmoid_loss

WIDTH = 6


class Towers(nn.Module):
    """Two of the smallest towers there can be."""

    def __init__(self):
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.image = nn.Parameter(torch.randn(WIDTH, 5, generator=generator, dtype=torch.float64))
        self.text = nn.Parameter(torch.randn(WIDTH, 5, generator=generator, dtype=torch.float64))
        self.logit_scale = nn.Parameter(torch.tensor(2.0, dtype=torch.float64))
        self.logit_bias = nn.Parameter(torch.tensor(-3.0, dtype=torch.float64))

    def forward(self, images, texts):
        embeds = (F.normalize(x @ w, dim=-1) for x, w in ((images, self.image), (texts, self.text)))
        return *embeds, self.logit_scale, self.logit_bias


def inputs(n):
    generator = torch.Generator().manual_seed(n)
    return [torch.randn(n, WIDTH, generator=generator, dtype=torch.float64) for _ in range(2)]


def unit(n, width=4, **options):
    return F.normalize(torch.ones(n, width, **options), dim=-1)


def scalars():
    return torch.tensor(2.0), torch.tensor(-3.0)


def step_under_ddp(rank, batch, chunk):
    """One step of training: mean loss over the ranks, and DDP's gradients."""
    model = DistributedDataParallel(Towers())
    rows = slice(rank * batch, (rank + 1) * batch)
    images, texts = (each[rows] for each in inputs(batch * dist.get_world_size()))
    loss = distributed_sigmoid_loss(*model(images, texts), chunk_size=chunk)
    loss.backward()
    dist.all_reduce(loss := loss.detach())
    # lists, because a tensor that travels between processes needs its sender alive
    return [loss.item() / dist.get_world_size(), *(p.grad.tolist() for p in model.parameters())]


@pytest.mark.parametrize(("world", "batch"), [(1, 5), (2, 4), (3, 3), (4, 1), (8, 2)])
@pytest.mark.parametrize("chunk", [2, None])
def test_ddp_trains_as_one_process_does(world, batch, chunk):
    model = Towers()
    loss = sigmoid_loss(*model(*inputs(world * batch)))
    loss.backward()
    expected = [loss.item(), *(p.grad.tolist() for p in model.parameters())]
    for found in ranks.run(world, step_under_ddp, batch, chunk):
        torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-13)


def group_ids(n, dtype=torch.int64):
    """Groups that reach over the ranks; images of group 0 have no text."""
    generator = torch.Generator().manual_seed(n)
    image_ids = torch.randint(0, 4, (n,), generator=generator)
    return image_ids.to(dtype), torch.randint(1, 4, (n,), generator=generator).to(dtype)


def labelled_step_under_ddp(rank, batch, chunk, one):
    model = DistributedDataParallel(Towers())
    rows, n = slice(rank * batch, (rank + 1) * batch), batch * dist.get_world_size()
    images, texts = (each[rows] for each in inputs(n))
    labels = tuple(each[rows] for each in group_ids(n, [torch.int64, torch.int32][rank % 2]))
    loss = distributed_sigmoid_loss(
        *model(images, texts), labels=labels[0] if one else labels, chunk_size=chunk
    )
    loss.backward()
    dist.all_reduce(loss := loss.detach())
    return [loss.item() / dist.get_world_size(), *(p.grad.tolist() for p in model.parameters())]


@pytest.mark.parametrize(("world", "batch"), [(1, 7), (2, 5), (3, 4)])
@pytest.mark.parametrize(("chunk", "one"), [(2, False), (None, True)])
def test_group_ids_reach_over_all_ranks(world, batch, chunk, one):
    model, ids = Towers(), group_ids(world * batch)
    loss = sigmoid_loss(*model(*inputs(world * batch)), labels=ids[0] if one else ids)
    loss.backward()
    expected = [loss.item(), *(p.grad.tolist() for p in model.parameters())]
    for found in ranks.run(world, labelled_step_under_ddp, batch, chunk, one):
        torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-13)


def several_ids_of_an_image(rank):
    rows, ids = slice(3 * rank, 3 * rank + 3), group_ids(6)
    images, texts = (each[rows] for each in inputs(6))
    several = torch.stack([ids[0], (ids[0] + 1) % 4], dim=1)[rows]
    loss = distributed_sigmoid_loss(*Towers()(images, texts), labels=(several, ids[1][rows]))
    dist.all_reduce(loss := loss.detach())
    return loss.item() / 2


def test_an_image_may_have_several_ids():
    ids = group_ids(6)
    true = (ids[0][:, None] == ids[1]) | ((ids[0][:, None] + 1) % 4 == ids[1])
    expected = sigmoid_loss(*Towers()(*inputs(6)), labels=true).item()
    assert ranks.run(2, several_ids_of_an_image) == pytest.approx([expected] * 2, rel=1e-12)


def two_images_and_three_texts(rank):
    images, texts = inputs(6)
    x, y, *scalars = Towers()(images[2 * rank : 2 * rank + 2], texts[3 * rank : 3 * rank + 3])
    ids = group_ids(6)
    labels = ids[0][2 * rank : 2 * rank + 2], ids[1][3 * rank : 3 * rank + 3]
    loss = distributed_sigmoid_loss(x, y, *scalars, labels=labels).detach()
    dist.all_reduce(loss)
    return loss.item() / 2


def test_with_ids_the_texts_may_be_more_than_the_images():
    images, texts = inputs(6)
    ids = group_ids(6)
    expected = sigmoid_loss(*Towers()(images[:4], texts), labels=(ids[0][:4], ids[1])).item()
    assert ranks.run(2, two_images_and_three_texts) == pytest.approx([expected] * 2, rel=1e-12)


def step_in_a_group_of_two(rank):
    group = [dist.new_group(pair) for pair in ([0, 1], [2, 3])][rank // 2]
    images, texts = (each[2 * rank : 2 * rank + 2] for each in inputs(8))
    loss = distributed_sigmoid_loss(*Towers()(images, texts), group=group).detach()
    dist.all_reduce(loss, group=group)
    return loss.item() / 2


def test_a_group_keeps_to_itself():
    expected = [
        sigmoid_loss(*Towers()(*(each[rows] for each in inputs(8)))).item()
        for rows in (slice(0, 4), slice(4, 8))
    ]
    found = ranks.run(4, step_in_a_group_of_two)
    assert found == pytest.approx([expected[0]] * 2 + [expected[1]] * 2, rel=1e-12)


def half_precision_and_scaled_backward(rank):
    generator = torch.Generator().manual_seed(rank)
    x, y = (
        F.normalize(torch.randn(8, 4, generator=generator), dim=-1).bfloat16().requires_grad_()
        for _ in range(2)
    )
    loss = distributed_sigmoid_loss(x, y, *scalars())
    (1024 * loss).backward()
    with torch.no_grad():
        same = distributed_sigmoid_loss(x, y, *scalars())
    lists = [tensor.detach().float().tolist() for tensor in (x, y, x.grad, y.grad)]
    return *lists, loss.item(), same.item(), str(x.grad.dtype)


def test_half_precision_and_a_gradient_scaler():
    found = ranks.run(2, half_precision_and_scaled_backward)
    x, y, grad_x, grad_y = (
        torch.cat([torch.tensor(rank[k]) for rank in found]).bfloat16() for k in range(4)
    )
    x.requires_grad_(), y.requires_grad_()
    loss = sigmoid_loss(x, y, *scalars())
    (2 * 1024 * loss).backward()  # the sum of two ranks, where DDP takes the mean
    torch.testing.assert_close(grad_x, x.grad, rtol=1e-2, atol=0.1)
    torch.testing.assert_close(grad_y, y.grad, rtol=1e-2, atol=0.1)
    assert sum(rank[4] for rank in found) / 2 == pytest.approx(loss.item(), rel=1e-6)
    assert all(rank[4] == rank[5] and rank[6] == "torch.bfloat16" for rank in found)


def nothing_square_is_kept(rank):
    kept = []
    tensors = [unit(50).requires_grad_(), unit(50).requires_grad_(), *scalars()]
    with torch.autograd.graph.saved_tensors_hooks(lambda x: kept.append(x.numel()), lambda x: x):
        distributed_sigmoid_loss(*tensors)
    return sorted(kept)


def test_nothing_of_another_rank_and_no_logits_are_kept():
    assert ranks.run(3, nothing_square_is_kept) == [[1, 1, 200, 200]] * 3


def uneven_batch(rank):
    size = 3 if rank == 2 else 4
    return distributed_sigmoid_loss(unit(size), unit(size), *scalars())


def another_type(rank):
    options = {"dtype": torch.float64} if rank == 1 else {}
    return distributed_sigmoid_loss(unit(4, **options), unit(4, **options), *scalars())


def gradients_on_one_rank(rank):
    return distributed_sigmoid_loss(unit(4).requires_grad_(rank == 0), unit(4), *scalars())


def unequal_counts(rank):
    return distributed_sigmoid_loss(unit(4), unit(4 + rank), *scalars())


def labels_on_one_rank(rank):
    labels = torch.arange(4) if rank == 1 else None
    return distributed_sigmoid_loss(unit(4), unit(4), *scalars(), labels=labels)


def uneven_labelled_batch(rank):
    n = 3 if rank == 2 else 4
    return distributed_sigmoid_loss(unit(n), unit(n), *scalars(), labels=torch.arange(n))


def signs_on_one_rank(rank):
    labels = torch.arange(4) if rank else torch.ones(4)
    return distributed_sigmoid_loss(unit(4), unit(4), *scalars(), labels=labels)


def too_few_ids_on_one_rank(rank):
    labels = torch.arange(4 if rank else 3)
    return distributed_sigmoid_loss(unit(4), unit(4), *scalars(), labels=labels)


def matrix_everywhere(rank):
    labels = torch.eye(4, dtype=torch.bool)
    return distributed_sigmoid_loss(unit(4), unit(4), *scalars(), labels=labels)


@pytest.mark.parametrize(
    ("function", "errors"),
    [
        (labels_on_one_rank, [ValueError] * 3),
        (uneven_labelled_batch, [ValueError] * 3),
        (signs_on_one_rank, [TypeError, ValueError, ValueError]),
        (too_few_ids_on_one_rank, [ValueError] * 3),
        (matrix_everywhere, [TypeError] * 3),
    ],
)
def test_every_rank_refuses_labels_that_do_not_fit(function, errors):
    """The rank with the wrong labels, and those that would otherwise wait for it."""
    found = ranks.run(3, function)
    assert [type(error) for error in found] == errors, found
    assert all(len(str(error)) <= 300 for error in found), found


def test_a_rank_with_labels_is_named():
    assert all("rank 1" in str(error) for error in ranks.run(3, labels_on_one_rank))


def no_matrix(rank):
    x = unit(4) if rank else unit(4)[0]
    return distributed_sigmoid_loss(x, unit(4), *scalars())


@pytest.mark.parametrize(
    ("function", "odd"),
    [
        (uneven_batch, "rank 2"),
        (another_type, "rank 1"),
        (gradients_on_one_rank, "rank 1"),  # the first that differs from rank 0
        (unequal_counts, "rank 1"),
        (no_matrix, "rank 0"),
    ],
)
def test_every_rank_refuses_batches_that_differ(function, odd):
    """The rank with the wrong batch, and those that would otherwise wait for it."""
    found = ranks.run(3, function)
    assert all(isinstance(error, ValueError) and len(str(error)) <= 300 for error in found), found
    assert any(odd in str(error) for error in found), found


def test_an_uneven_batch_says_what_to_do():
    for error in ranks.run(3, uneven_batch):
        assert "drop_last=True" in str(error)


def dies_after_one_step(rank):
    tensors = unit(4), unit(4), *scalars()
    distributed_sigmoid_loss(*tensors)
    if rank == 1:
        os._exit(1)
    distributed_sigmoid_loss(*tensors)


def falls_silent_after_one_step(rank):
    tensors = unit(4), unit(4), *scalars()
    distributed_sigmoid_loss(*tensors)
    if rank == 1:
        time.sleep(3)
        return "slept"
    distributed_sigmoid_loss(*tensors)


@pytest.mark.slow
@pytest.mark.parametrize("function", [dies_after_one_step, falls_silent_after_one_step])
def test_a_lost_rank_is_an_error_for_the_others(function):
    found = ranks.run(3, function, timeout=1)
    assert isinstance(found[0], RuntimeError) and isinstance(found[2], RuntimeError), found


def compiled_step(rank):
    compiled = torch.compile(distributed_sigmoid_loss, fullgraph=True, backend="aot_eager")
    results = []
    for loss in (compiled, distributed_sigmoid_loss):
        images, texts = (each[4 * rank : 4 * rank + 4] for each in inputs(8))
        model = Towers()
        loss(*model(images, texts)).backward()
        results.append([parameter.grad.tolist() for parameter in model.parameters()])
    return results


@pytest.mark.slow
def test_compile_keeps_one_graph():
    for found, expected in ranks.run(2, compiled_step):
        torch.testing.assert_close(found, expected)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
def test_nothing_waits_for_the_gpu(tmp_path):
    dist.init_process_group("nccl", init_method=f"file://{tmp_path}/store", rank=0, world_size=1)
    try:
        x, y = (unit(64, 32, device="cuda").requires_grad_() for _ in range(2))
        tensors = x, y, *(each.cuda() for each in scalars())
        ids = torch.arange(64, device="cuda")
        for mode in ("default", "error"):  # at first, NCCL and Triton get ready
            torch.cuda.set_sync_debug_mode(mode)
            found = distributed_sigmoid_loss(*tensors, labels=ids)
            found.backward()
        torch.cuda.set_sync_debug_mode("default")
        torch.testing.assert_close(found, sigmoid_loss(*tensors, labels=ids))
    finally:
        torch.cuda.set_sync_debug_mode("default")
        dist.destroy_process_group()


def test_without_a_group():
    with pytest.raises(ValueError, match="init_process_group"):
        distributed_sigmoid_loss(unit(4), unit(4), *scalars())
