"""The estimate of memory against what autograd keeps and what PyTorch's allocator held."""

import contextlib
import itertools

import pytest
import torch
from any_shape import configs, inputs
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.profiler import ProfilerActivity, profile

import siglip_lab as sl
from siglip_lab import clip, count_bytes
from siglip_lab.configs import SigLIPConfig, TextConfig, VisionConfig
from siglip_lab.model import SigLIP
from siglip_lab.published import get_config

SO400M = get_config("siglip-so400m-patch14-384")


def attention(maps):
    return sdpa_kernel(SDPBackend.MATH) if maps else contextlib.nullcontext()


def saved_bytes(model, run, *inputs):
    """Bytes of the tensors that autograd keeps, each storage once, without weights and inputs."""
    ours = {t.untyped_storage().data_ptr() for t in [*model.parameters(), *inputs]}
    tensors = []

    def keep(tensor):
        tensors.append(tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        out = run()
    del out
    storages = {t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() for t in tensors}
    return sum(size for pointer, size in storages.items() if pointer not in ours)


@settings(max_examples=30, deadline=None, derandomize=True)
@given(
    config=configs(),
    batch=st.integers(1, 3),
    maps=st.booleans(),
    dtype=st.sampled_from([torch.float32, torch.float64, torch.bfloat16]),
)
def test_activations_are_what_autograd_saves(config, batch, maps, dtype):
    model = SigLIP(config).to(dtype)
    pixels, ids = inputs(config, batch, batch)
    count = count_bytes(config, dtype, batch, training=True, attention_maps=maps)["activations"]
    with attention(maps):
        image = saved_bytes(model, lambda: model.encode_image(pixels), pixels)
        text = saved_bytes(model, lambda: model.encode_text(ids), ids)
    converted = 0 if dtype == torch.float32 else count["pixels"].total
    assert (image, text) == (count.vision.total + converted, count.text.total)


@settings(max_examples=20, deadline=None, derandomize=True)
@given(
    config=configs(),
    batch=st.integers(1, 3),
    maps=st.booleans(),
    dtype=st.sampled_from([torch.float32, torch.bfloat16]),
)
def test_activations_of_clips_are_what_autograd_saves(config, batch, maps, dtype):
    config = clip.CLIPConfig(config.vision, config.text, config.vision.width)
    model = clip.CLIP(config).to(dtype)
    pixels, ids = inputs(config, batch, batch)
    options = {"training": True, "attention_maps": maps}
    count = clip.count_bytes(config, dtype, batch, **options)["activations"]
    with attention(maps):
        image = saved_bytes(model, lambda: model.encode_image(pixels), pixels)
        text = saved_bytes(model, lambda: model.encode_text(ids), ids)
    converted = 0 if dtype == torch.float32 else count["pixels"].total
    assert (image, text) == (count.vision.total + converted, count.text.total)


MIDDLING = SigLIPConfig(
    VisionConfig(96, 8, width=96, depth=8, num_heads=6, mlp_dim=384),
    TextConfig(2000, 32, width=96, depth=8, num_heads=6, mlp_dim=384),
)


CLIP_MIDDLING = clip.CLIPConfig(MIDDLING.vision, MIDDLING.text, embed_dim=96)


def memory_events(run):
    """What PyTorch's CPU allocator gave and took back, in bytes, one after the other."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        result = run()  # alive until the end
    events = [e for e in profiler.profiler.kineto_results.events() if e.name() == "[memory]"]
    del result
    return [event.nbytes() for event in sorted(events, key=lambda event: event.start_ns())]


def peak_bytes(run):
    """The most that was held at once of what `run` made."""
    return max(itertools.accumulate(memory_events(run)))


@pytest.mark.parametrize("maps", [False, True])
@pytest.mark.parametrize(
    ("model", "counting"),
    [(SigLIP(MIDDLING), count_bytes), (clip.CLIP(CLIP_MIDDLING), clip.count_bytes)],
    ids=["SigLIP", "CLIP"],
)
def test_checkpointing_keeps_only_the_inputs_of_layers(one_thread, model, counting, maps):
    model.set_grad_checkpointing(True)
    pixels, ids = inputs(MIDDLING, 2, 2)
    with attention(maps):
        image = sum(memory_events(lambda: model.encode_image(pixels)))
        text = sum(memory_events(lambda: model.encode_text(ids)))
    options = {"training": True, "attention_maps": maps, "grad_checkpointing": True}
    count = counting(model.config, batch=2, **options)["activations"]
    assert count.vision["layer 1"].total == 2 * model.vision_model(pixels)[0][0].nbytes
    random_state = 8 * torch.get_rng_state().nbytes  # each layer's, which `checkpoint` may keep
    for held, kept in ((image, count.vision.total), (text, count.text.total)):
        rest = held - kept - 2 * 96 * 4  # the embeddings
        assert min(abs(rest), abs(rest - random_state)) <= 64  # eight times 1.702, in CLIP


def there_before(count):
    names = ("weights", "inputs", "gradients", "AdamW")
    return sum(part.total for part in count if part.name in names)


MODELS = [
    (SigLIP, MIDDLING, count_bytes, sl.sigmoid_loss),
    (clip.CLIP, CLIP_MIDDLING, clip.count_bytes, sl.clip_loss),
]


@pytest.mark.parametrize(
    ("dtype", "maps", "grad_checkpointing"),
    [
        (torch.float32, False, False),
        (torch.float32, False, True),
        (torch.float32, True, False),
        (torch.float32, True, True),
        (torch.bfloat16, False, True),
    ],
)
@pytest.mark.parametrize(("kind", "config", "counting", "loss"), MODELS, ids=["SigLIP", "CLIP"])
def test_peak_of_a_training_step(
    one_thread, kind, config, counting, loss, dtype, maps, grad_checkpointing
):
    model = kind(config).to(dtype)
    model.set_grad_checkpointing(grad_checkpointing)
    optimizer = torch.optim.AdamW(model.parameters(), fused=True)
    pixels, ids = inputs(config, 4, 4)

    def step():
        embeds = model.encode_image(pixels), model.encode_text(ids)
        loss(*embeds, *model.parameters(recurse=False)).backward()

    with attention(maps):
        step()
        optimizer.step()
        peak = peak_bytes(step)
    options = {"training": True, "attention_maps": maps, "grad_checkpointing": grad_checkpointing}
    count = counting(config, dtype, batch=4, **options)
    moments = [s[key] for s in optimizer.state.values() for key in ("exp_avg", "exp_avg_sq")]
    tensors = [*model.parameters(), *(p.grad for p in model.parameters()), *moments, pixels, ids]
    assert sum(tensor.nbytes for tensor in tensors) == there_before(count)
    # Of the whole, and of what comes and goes in the step.
    assert there_before(count) + peak == pytest.approx(count.total, rel=0.1)
    assert peak == pytest.approx(count.total - there_before(count), rel=0.1)


@pytest.mark.parametrize("maps", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(("kind", "config", "counting", "loss"), MODELS, ids=["SigLIP", "CLIP"])
def test_peak_of_an_inference(one_thread, kind, config, counting, loss, dtype, maps):
    model = kind(config).to(dtype)
    pixels, ids = inputs(config, 4, 4)
    with attention(maps), torch.no_grad():
        peak = peak_bytes(lambda: (model.encode_image(pixels), model.encode_text(ids)))
    count = counting(config, dtype, batch=4, attention_maps=maps)
    assert peak == pytest.approx(count["working memory"].total, rel=0.1)


def test_scalars_stay_in_float32():
    model = sl.SigLIP.from_pretrained("tiny", dtype=torch.bfloat16)
    count = count_bytes(model.config, torch.bfloat16)["weights"]
    assert count.total == sum(p.nbytes for p in model.parameters())
    assert count["scalars"].total == 8


def test_what_the_options_save_on_so400m():
    def activations(**options):
        count = count_bytes(SO400M, torch.bfloat16, batch=32, training=True, **options)
        return count["activations"].total

    plain, maps = activations(), activations(attention_maps=True)
    assert maps - plain > 27 * 32 * 16 * 729**2 * 4
    assert plain > 10 * activations(grad_checkpointing=True)
    assert activations(grad_checkpointing=True) < activations(
        grad_checkpointing=True, attention_maps=True
    )


@pytest.mark.parametrize(
    ("call", "error", "noun"),
    [
        (lambda: count_bytes("tiny"), TypeError, "SigLIPConfig"),
        (lambda: count_bytes(clip.get_config("ViT-B/32")), TypeError, "SigLIPConfig"),
        (lambda: count_bytes(SO400M, torch.int8), TypeError, "dtype"),
        (lambda: count_bytes(SO400M, "bfloat16"), TypeError, "dtype"),
        (lambda: count_bytes(SO400M, batch=0), ValueError, "batch"),
        (lambda: count_bytes(SO400M, grad_checkpointing=True), ValueError, "training=True"),
        (lambda: clip.count_bytes(SO400M), TypeError, "CLIPConfig"),
        (lambda: clip.count_bytes(clip.get_config("RN50")), ValueError, "ResNet"),
    ],
)
def test_what_cannot_be_estimated(call, error, noun):
    with pytest.raises(error, match=noun):
        call()
