"""A model's twin in transformers: the same weights in `SiglipModel`."""

from dataclasses import replace

import torch
from torch import nn
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from transformers import SiglipConfig, SiglipModel, logging

from siglip_lab.configs import SigLIPConfig
from siglip_lab.model import SigLIP

logging.set_verbosity_error()


def tower(config):
    return {
        "hidden_size": config.width,
        "num_hidden_layers": config.depth,
        "num_attention_heads": config.num_heads,
        "intermediate_size": config.mlp_dim,
    }


def twin_config(config: SigLIPConfig) -> SiglipConfig:
    vision, text = config.vision, config.text
    return SiglipConfig(
        vision_config=tower(vision)
        | {"image_size": vision.image_size, "patch_size": vision.patch_size},
        text_config=tower(text)
        | {
            "vocab_size": text.vocab_size,
            "max_position_embeddings": text.context_length,
            "projection_size": config.embed_dim,
        },
    )


def twin(model: SigLIP) -> SiglipModel:
    """`SiglipModel` that shares the model's tensors; nothing is allocated or drawn twice."""
    with torch.device("meta"):
        other = SiglipModel(twin_config(model.config))
    return share(other, model.state_dict())


def share(other, state):
    """A model of transformers on the meta device, once it has taken the tensors as its own."""
    other.load_state_dict(state, assign=True)
    for module in other.modules():
        if "position_ids" in module._buffers:
            module.position_ids = torch.arange(module.position_ids.shape[-1])[None]
    return other.eval()


def shallow(config: SigLIPConfig, depth: int = 2, vocab_size: int = 1000) -> SigLIPConfig:
    """Two layers show what 27 would, and a row of the vocabulary's table is like any other."""
    text = replace(config.text, depth=depth, vocab_size=vocab_size)
    return SigLIPConfig(replace(config.vision, depth=depth), text)


def random_model(config: SigLIPConfig, seed: int = 0, kind: type[SigLIP] = SigLIP) -> SigLIP:
    """Random weights without a zero bias or an identity norm, behind which an error could hide."""
    model = kind(config, seed).eval()
    generator = torch.Generator().manual_seed(seed + 1)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("bias") or "norm" in name:
                parameter += 0.1 * torch.randn(parameter.shape, generator=generator)
    return model


def random_inputs(config: SigLIPConfig, images: int = 1, texts: int = 2, seed: int = 0):
    generator = torch.Generator().manual_seed(seed)
    size = config.vision.image_size
    return {
        "pixel_values": torch.rand(images, 3, size, size, generator=generator) * 2 - 1,
        "input_ids": torch.randint(
            config.text.vocab_size, (texts, config.text.context_length), generator=generator
        ),
    }


class NothingIsRead(TorchDispatchMode):
    """Refuses what asks a tensor for its values, and so waits for a GPU."""

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        assert function not in (
            torch.ops.aten._local_scalar_dense.default,
            torch.ops.aten.equal.default,
            torch.ops.aten.nonzero.default,
        ), f"{function} reads a value"
        return function(*args, **(kwargs or {}))


class NoFloat64(TorchFunctionMode):
    """Refuses float64, as an Apple GPU does."""

    def __torch_function__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        if isinstance(result, torch.Tensor) and result.dtype == torch.float64:
            raise TypeError("Cannot convert a MPS Tensor to float64 dtype")
        return result


@torch.no_grad()
def check_open_batches(model: nn.Module, inputs: dict, others: dict) -> None:
    """Export and compile for any number of images and texts; both must give the model's logits."""
    expected = model(**others).logits_per_image
    shapes = {name: {0: torch.export.Dim(name)} for name in inputs}
    program = torch.export.export(model, (), inputs, dynamic_shapes=shapes).module()
    torch.testing.assert_close(program(**others).logits_per_image, expected)
    for tensor in inputs.values():
        torch._dynamo.mark_dynamic(tensor, 0)  # an error where the code fixes the size
    compiled = torch.compile(model, backend="eager", fullgraph=True)
    compiled(**inputs)
    with torch.compiler.set_stance("fail_on_recompile"):
        torch.testing.assert_close(compiled(**others).logits_per_image, expected)
