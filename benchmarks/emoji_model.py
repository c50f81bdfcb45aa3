"""Train a small SigLIP on emoji so that it knows a thing whoever drew it.

The loss, the towers and the optimizer are the paper's; what is added is augmentation: many ways to
make one hand's drawing look like another's, each a plain function of a batch. The choice of it all
is made on Noto, without Noto and its predecessor in training; the last run learns from them, too;
Twemoji is met once, at the end.

    python -m benchmarks.emoji_model train OUT --hands HANDS     # again: it goes on where it was
    python -m benchmarks.emoji_model measure OUT --artist noto
    python -m benchmarks.emoji_model export OUT FOLDER           # as the package carries it

HANDS is what ``python -m benchmarks.emoji_hands HANDS`` wrote; without it, what the package carries
is what there is. ``log.jsonl`` in OUT has a line for each measurement, ``training_state.pt`` all
that the rest of the run depends on: the same options give the same weights on the same machine,
stopped or not.
"""

from __future__ import annotations

import argparse
import io
import json
import random
import sys
import time
from collections.abc import Iterable, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path

import numpy as np
import sentencepiece
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

from benchmarks.emoji_hands import load_hands
from siglip_lab import emoji as data
from siglip_lab.configs import SigLIPConfig, TextConfig, VisionConfig
from siglip_lab.emoji.data import TEMPLATES, Drawing, Emoji
from siglip_lab.loading.folder import write_files
from siglip_lab.losses_at_scale import sigmoid_loss
from siglip_lab.model import SigLIP
from siglip_lab.patches import interpolate_positions
from siglip_lab.processor import Processor
from siglip_lab.tokenizer import Tokenizer, canonicalize
from siglip_lab.training.optimization import BETAS

STATE, SECONDS_BETWEEN_STATES = "training_state.pt", 60
SAME_HAND = {"noto": ("noto", "noto-v1"), "twemoji": ("twemoji",)}  # none of it may train
NEARLY_A_COPY = 0.94  # correlation of two drawings' pixels


@dataclass(frozen=True)
class Config:
    """Everything that decides which weights come out."""

    steps: int = field(default=30_000, metadata={"help": "may change as long as the rate holds"})
    batch: int = 128
    peak: float = field(default=1e-3, metadata={"help": "learning rate after the warm-up"})
    warmup: int = 500
    fall: float = field(default=0.3, metadata={"help": "share of the steps in which it falls to 0"})
    decay: float = field(default=0.1, metadata={"help": "AdamW's, on matrices only"})
    optimizer: str = field(default="adamw", metadata={"help": "adamw or muon"})
    scalars: float = field(default=1.0, metadata={"help": "factor of t's and b's learning rate"})
    average: float = field(default=0.999, metadata={"help": "of the weights, from step to step"})
    size: int = 40
    patch: int = 5
    width: int = 128
    depth: int = 6
    heads: int = 4
    mlp: int = 4
    text_width: int = 96
    text_depth: int = 2
    pieces: int = 1024
    context: int = 16
    extra: int = field(default=128, metadata={"help": "names without a picture in a batch"})
    things: float = field(default=2.0, metadata={"help": "weight of a thing; others have 1"})
    strength: float = field(default=1.0, metadata={"help": "of augmentation; 0: none"})
    held_out: str = field(default="noto", metadata={"help": "noto, or none for the last run"})
    languages: str = "en"
    seed: int = 0

    @property
    def model(self) -> SigLIPConfig:
        """Shape of the model."""
        vision = VisionConfig(
            self.size, self.patch, width=self.width, depth=self.depth, num_heads=self.heads,
            mlp_dim=self.mlp * self.width,
        )  # fmt: skip
        text = TextConfig(
            self.pieces, self.context, width=self.text_width, depth=self.text_depth, num_heads=4,
            mlp_dim=4 * self.text_width,
        )  # fmt: skip
        return SigLIPConfig(vision, text)


# ---- augmentation: x is [n, 4, S, S], colours 0 to 1 and, last, what is drawn (1) or paper (0) --


def some(x: Tensor, share: float, rng: torch.Generator) -> Tensor:
    """Choose some of a batch: 1 or 0, `[n, 1, 1, 1]`."""
    return (torch.rand(len(x), 1, 1, 1, generator=rng) < share).to(x.dtype)


def between(x: Tensor, low: float, high: float, rng: torch.Generator) -> Tensor:
    """Draw a number for each of a batch: `[n, 1, 1, 1]`."""
    return low + (high - low) * torch.rand(len(x), 1, 1, 1, generator=rng)


def mix(x: Tensor, other: Tensor, share: Tensor | float) -> Tensor:
    """Take that share of the other's colours; the mask stays."""
    return torch.cat([x[:, :3].lerp(other.clamp(0, 1), torch.as_tensor(share)), x[:, 3:]], 1)


def grey(x: Tensor) -> Tensor:
    """Luminance `[n, 1, S, S]`."""
    return (x[:, :3] * torch.tensor([0.299, 0.587, 0.114]).view(3, 1, 1)).sum(1, keepdim=True)


def edges(x: Tensor) -> Tensor:
    """Strength of the edges `[n, 1, S, S]`: the brightest neighbour less the darkest."""
    y = F.pad(grey(x), (1, 1, 1, 1), value=1.0)
    return F.max_pool2d(y, 3, 1) + F.max_pool2d(-y, 3, 1)


def moved(x: Tensor, mirror: Tensor, strength: float, rng: torch.Generator) -> Tensor:
    """Turn, stretch, shear, shift and bend; mirror some of those that may be mirrored."""
    n, s = len(x), x.shape[-1]

    def u(low: float, high: float) -> Tensor:
        return low + (high - low) * torch.rand(n, generator=rng)

    angle = u(-1, 1) * 0.35 * strength * (torch.rand(n, generator=rng) < 0.7)
    scale, stretch = torch.exp(u(-0.22, 0.22) * strength), torch.exp(u(-0.15, 0.15) * strength)
    flip = 1 - 2 * (mirror & (torch.rand(n, generator=rng) < 0.35 * strength)).float()
    cos, sin, shear = angle.cos(), angle.sin(), u(-0.15, 0.15) * strength
    rows = [cos * stretch * flip, shear - sin, u(-0.15, 0.15) * strength,
            (sin + shear) * flip, cos / stretch, u(-0.15, 0.15) * strength]  # fmt: skip
    theta = torch.stack(rows, 1).view(n, 2, 3) * scale[:, None, None]
    grid = F.affine_grid(theta, [n, 4, s, s], align_corners=False)
    bend = torch.randn(n, 2, 4, 4, generator=rng) * 0.09 * strength
    bend = bend * (torch.rand(n, 1, 1, 1, generator=rng) < 0.7)
    bend = F.interpolate(bend, size=(s, s), mode="bicubic", align_corners=True)
    grid = grid + bend.permute(0, 2, 3, 1)
    paper = torch.tensor([1.0, 1.0, 1.0, 0.0]).view(4, 1, 1)
    return F.grid_sample(x - paper, grid, padding_mode="zeros", align_corners=False) + paper


def recoloured(x: Tensor, strength: float, rng: torch.Generator) -> Tensor:
    """Turn the hue, change saturation, contrast and brightness; the paper stays white."""
    to_yiq = torch.tensor([[0.299, 0.587, 0.114], [0.596, -0.274, -0.322], [0.211, -0.523, 0.312]])
    y, i, q = torch.einsum("ij,njhw->nihw", to_yiq, x[:, :3]).split(1, dim=1)
    wide = some(x, 0.15, rng)
    turn = between(x, -1, 1, rng) * (0.35 + 2.8 * wide) * strength
    colour = torch.exp(between(x, -0.7, 0.5, rng) * strength)
    cos, sin = turn.cos() * colour, turn.sin() * colour
    y = y * torch.exp(between(x, -0.3, 0.3, rng) * strength)
    y = y + between(x, -0.2, 0.2, rng) * strength
    other = torch.cat([y, i * cos - q * sin, i * sin + q * cos], 1)
    other = torch.einsum("ij,njhw->nihw", torch.linalg.inv(to_yiq), other)
    return mix(x, other, x[:, 3:] * some(x, 0.85, rng))


def palette_of(x: Tensor, other: Tensor, share: float, rng: torch.Generator) -> Tensor:
    """Give some the colours of another's drawing: its mean and spread, where something is drawn."""

    def moments(z: Tensor) -> tuple[Tensor, Tensor]:
        mask = z[:, 3:]
        total = mask.sum((2, 3), keepdim=True).clamp(min=1)
        mean = (z[:, :3] * mask).sum((2, 3), keepdim=True) / total
        spread = ((z[:, :3] - mean).square() * mask).sum((2, 3), keepdim=True) / total
        return mean, (spread + 1e-4).sqrt()

    (mean, spread), (its_mean, its_spread) = moments(x), moments(other)
    painted = (x[:, :3] - mean) / spread * its_spread + its_mean
    return mix(x, painted, x[:, 3:] * some(x, share, rng))


def shaded(x: Tensor, strength: float, rng: torch.Generator) -> Tensor:
    """Lay light over some, from one side, as those who draw in three dimensions do."""
    s = x.shape[-1]
    line = torch.linspace(-1, 1, s)
    ramp = between(x, -1, 1, rng) * line.view(1, 1, s, 1) + between(x, -1, 1, rng) * line
    light = 0.3 * strength * ramp
    return mix(x, x[:, :3] + light, x[:, 3:] * some(x, 0.4, rng))


def redrawn(x: Tensor, strength: float, rng: torch.Generator) -> Tensor:
    """Outline some, draw some in lines alone; make some grey, of few colours, soft or sharp."""
    colours = x[:, :3]
    soft = F.avg_pool2d(F.pad(colours, (1, 1, 1, 1), value=1.0), 3, 1)
    x = mix(x, soft, some(x, 0.1 * strength, rng))
    x = mix(x, colours + 0.7 * (colours - soft), some(x, 0.2 * strength, rng))
    line = (edges(x) * between(x, 0.8, 2.0, rng)).clamp(0, 1)
    x = mix(x, x[:, :3] * (1 - line), some(x, 0.25 * strength, rng))
    fill = between(x, 0, 0.5, rng) * (x[:, :3] - 1)
    x = mix(x, 1 - line + fill, some(x, 0.08 * strength, rng))
    x = mix(x, grey(x).expand(-1, 3, -1, -1), some(x, 0.1 * strength, rng))
    levels = torch.floor(between(x, 2, 6, rng))
    return mix(x, (x[:, :3] * levels).round() / levels, some(x, 0.12 * strength, rng))


def erased(x: Tensor, strength: float, rng: torch.Generator) -> Tensor:
    """Cover a rectangle of some, with paper or a colour."""
    s = x.shape[-1]
    at = torch.arange(s, dtype=x.dtype)
    top, left = between(x, -0.2 * s, 0.9 * s, rng), between(x, -0.2 * s, 0.9 * s, rng)
    high, wide = between(x, 0.15 * s, 0.45 * s, rng), between(x, 0.15 * s, 0.45 * s, rng)
    rows = ((at >= top) & (at < top + high)).to(x.dtype).transpose(2, 3)  # [n, 1, S, 1]
    inside = rows * ((at >= left) & (at < left + wide)).to(x.dtype)
    colour = torch.rand(len(x), 3, 1, 1, generator=rng)
    colour = colour + (1 - colour) * some(x, 0.5, rng)
    return mix(x, colour.expand(-1, -1, s, s), inside * some(x, 0.3 * strength, rng))


def augmented(
    x: Tensor, other: Tensor, mirror: Tensor, strength: float, rng: torch.Generator
) -> Tensor:
    """All of it, one after the other.

    Args:
        x: Drawings `[n, 4, S, S]`.
        other: Drawings of the same emoji, by whoever.
        mirror: Whether its mirror image is the same thing, `[n]`.
        strength: 0 to 1 and above; 0 changes nothing.
        rng: Where chance comes from.
    """
    if strength:
        x = palette_of(x, other, 0.2 * strength, rng)
        x = moved(x, mirror, strength, rng)
        x = shaded(recoloured(x, strength, rng), strength, rng)
        x = erased(redrawn(x, strength, rng), strength, rng)
    return x[:, :3]


# ---- data ----------------------------------------------------------------------------------------


def paper(pixels: np.ndarray) -> np.ndarray:
    """Find the paper: what is nearly white and hangs together with the border; bool `[S, S]`."""
    white = pixels.min(axis=-1) > 245
    found = np.zeros_like(white)
    found[[0, -1]], found[:, [0, -1]] = white[[0, -1]], white[:, [0, -1]]
    while True:
        grown = found.copy()
        grown[1:] |= found[:-1]
        grown[:-1] |= found[1:]
        grown[:, 1:] |= found[:, :-1]
        grown[:, :-1] |= found[:, 1:]
        grown &= white
        if (grown == found).all():
            return found
        found = grown


def drawings_for(held_out: str, hands: Path | None, languages: Iterable[str]) -> list[Drawing]:
    """Load all that may be learned from: no drawing of the held-out hands, nor a near copy."""
    every = data.load(languages=languages)
    emoji = {drawing.emoji.code_points: drawing.emoji for drawing in every}
    if hands:
        more = data.load(["openmoji"], languages, hands / "openmoji")
        every += [Drawing(emoji[d.emoji.code_points], d.artist, d.pixels) for d in more]
        every += load_hands(hands, emoji)
    kept = [a for artist in ("twemoji", held_out) for a in SAME_HAND.get(artist, ())]
    barred = {
        (d.artist, d.emoji.code_points): d.pixels.astype(np.float32).ravel()
        for d in every
        if d.artist in ("twemoji", held_out)
    }
    return [d for d in every if d.artist not in kept and not _copied(d, barred)]


def _copied(drawing: Drawing, barred: dict[tuple[str, str], np.ndarray]) -> bool:
    if drawing.artist in data.ARTISTS:
        return False
    x, key = drawing.pixels.astype(np.float32).ravel(), drawing.emoji.code_points
    others = [barred[a, key] for a in data.ARTISTS if (a, key) in barred]
    return any(np.corrcoef(x, other)[0, 1] > NEARLY_A_COPY for other in others)


class Data:
    """Drawings, captions and who is called what, as arrays from which batches are drawn."""

    def __init__(self, drawings: Sequence[Drawing], config: Config):
        self.config = config
        self.emoji: list[Emoji] = list(dict.fromkeys(d.emoji for d in drawings))
        place = {each.code_points: i for i, each in enumerate(self.emoji)}
        self.pixels = torch.from_numpy(
            np.stack([
                np.dstack([d.pixels, np.where(paper(d.pixels), 0, 255)]).astype(np.uint8)
                for d in drawings
            ])
        ).permute(0, 3, 1, 2)  # fmt: skip
        # By emoji, by hand: Fluent's two are one hand in two paints
        self.by_hand: list[list[list[int]]] = [[] for _ in self.emoji]
        hands: dict[tuple[int, str], list[int]] = {}
        for i, drawing in enumerate(drawings):
            key = place[drawing.emoji.code_points], drawing.artist.removesuffix("-3d")
            hands.setdefault((key[0], key[1].removesuffix("-flat")), []).append(i)
        for (emoji, _), members in hands.items():
            self.by_hand[emoji].append(members)
        self.mirror = torch.tensor([each.is_thing for each in self.emoji])
        self.captions: list[str] = []
        self.own: list[list[list[int]]] = []  # by emoji, by language: its name, its keywords
        seen: dict[str, int] = {}
        for each in self.emoji:
            rows = []
            for language in each.names:
                texts = each.captions(language)
                for text in texts:
                    if text not in seen:
                        seen[text] = len(self.captions)
                        self.captions.append(text)
                rows.append([seen[text] for text in texts])
            self.own.append(rows)
        self.true = torch.zeros(len(self.emoji), len(self.captions), dtype=torch.bool)
        for i, rows in enumerate(self.own):
            for row in rows:
                self.true[i, row] = True
        self.language = {c: k for r in self.own for k, row in enumerate(r) for c in row}
        self.languages = list(self.emoji[0].names)
        self.weights = [config.things if each.is_thing else 1.0 for each in self.emoji]

    def vocabulary(self) -> bytes:
        """Train a SentencePiece model on the captions."""
        templates = [t.replace("{}", "") for key in self.languages for t in TEMPLATES[key]]
        letters = [*"abcdefghijklmnopqrstuvwxyz0123456789"]
        model = io.BytesIO()
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=map(canonicalize, [*self.captions, *(20 * templates), *letters]),
            model_writer=model, model_type="unigram", vocab_size=self.config.pieces,
            character_coverage=1.0, pad_id=0, eos_id=1, unk_id=2, bos_id=-1, num_threads=1,
            minloglevel=2,
        )  # fmt: skip
        return model.getvalue()

    def tokens(self, tokenizer: Tokenizer) -> list[Tensor]:
        """Ids of every caption: bare, and in each template of its language."""
        most = max(len(TEMPLATES[key]) for key in self.languages)
        tables = []
        for t in range(most):
            texts = []
            for c, caption in enumerate(self.captions):
                templates = TEMPLATES[self.languages[self.language[c]]]
                texts.append(templates[t % len(templates)].replace("{}", caption))
            tables.append(tokenizer(texts))
        return tables

    def batch(self, step: int, tables: Sequence[Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        """Make the batch of a step: pictures `[n, 3, S, S]`, ids `[m, L]`, what is true `[n, m]`.

        Of each emoji come one drawing, its name and one keyword; then names without a picture.
        """
        config = self.config
        chance = random.Random(f"emoji {config.seed} {step}")
        rng = torch.Generator().manual_seed(chance.getrandbits(62))
        # The first n by u ** (1 / weight): a weighted draw without replacement
        keys = [chance.random() ** (1 / w) for w in self.weights]
        order = sorted(range(len(keys)), key=keys.__getitem__, reverse=True)
        chosen = order[: config.batch]
        drawn = [chance.choice(chance.choice(self.by_hand[e])) for e in chosen]
        others = [chance.choice(chance.choice(self.by_hand[e])) for e in chosen]
        captions = []
        for e in chosen:
            row = chance.choice(self.own[e])
            captions += [row[0], chance.choice(row)]
        for e in order[config.batch : config.batch + config.extra]:
            captions.append(chance.choice(self.own[e])[0])
        x = augmented(
            self.pixels[drawn].float() / 255, self.pixels[others].float() / 255,
            self.mirror[chosen], config.strength, rng,
        )  # fmt: skip
        if x.shape[-1] != config.size:
            x = F.interpolate(x, size=(config.size,) * 2, mode="bilinear", antialias=True)
        plain = [0 if chance.random() < 0.6 else chance.randrange(len(tables)) for _ in captions]
        ids = torch.stack([tables[t][c] for t, c in zip(plain, captions, strict=True)])
        return x * 2 - 1, ids, self.true[chosen][:, captions]


# ---- training ------------------------------------------------------------------------------------


def optimizers(model: nn.Module, config: Config) -> list[torch.optim.Optimizer]:
    """AdamW for all, or Muon for the encoders' matrices and AdamW for the rest."""
    named = list(model.named_parameters())
    inner = [p for k, p in named if config.optimizer == "muon" and ".layers." in k and p.ndim == 2]
    ids = {id(p) for p in inner}
    rest = [(k, p) for k, p in named if id(p) not in ids]
    scalars = [p for k, p in rest if k.startswith("logit_")]
    groups = [
        {"params": [p for _, p in rest if p.ndim > 1], "weight_decay": config.decay},
        {"params": [p for k, p in rest if p.ndim <= 1 and not k.startswith("logit_")]},
        {"params": scalars, "factor": config.scalars},
    ]
    for group in groups[1:]:
        group["weight_decay"] = 0.0
    made: list[torch.optim.Optimizer] = [torch.optim.AdamW(groups, betas=BETAS, fused=True)]
    if inner:
        made.append(
            torch.optim.Muon(inner, weight_decay=config.decay, adjust_lr_fn="match_rms_adamw")
        )
    return made


def learning_rate(config: Config, step: int) -> float:
    """Rise, hold, and fall to zero: while it holds, the number of steps is still open."""
    rise, fall = (step + 1) / config.warmup, (config.steps - step) / (config.fall * config.steps)
    return config.peak * min(1.0, rise, fall)


def take_weights(model: SigLIP, start: Path) -> None:
    """Begin with another run's weights; its patches and positions may be of another size."""
    weights = torch.load(start / STATE, weights_only=True)["averaged"]
    own = model.state_dict()
    kernel = "vision_model.embeddings.patch_embedding.weight"
    positions = "vision_model.embeddings.position_embedding.weight"
    if (p := own[kernel].shape[-1]) != (q := weights[kernel].shape[-1]):
        # A patch stretched from p to q pixels gives, with the old kernel, what it gives with this
        one = torch.eye(p * p).view(p * p, 1, p, p)
        stretch = F.interpolate(one, size=(q, q), mode="bilinear").view(p * p, q * q)
        weights[kernel] = (weights[kernel].flatten(2) @ stretch.T).view(own[kernel].shape)
    side = int(len(own[positions]) ** 0.5)
    weights[positions] = interpolate_positions(weights[positions], side, side)
    model.load_state_dict(weights)


def train(
    out: Path, config: Config, hands: Path | None, fast: str, every: int, start: Path | None
) -> None:
    """Train, or go on; at the end, `out` is a checkpoint folder with the averaged weights."""
    parts = Data(drawings_for(config.held_out, hands, config.languages.split(",")), config)
    write_files(out, {"spiece.model": parts.vocabulary()})
    tokenizer = Tokenizer(out / "spiece.model", config.context)
    processor = Processor(tokenizer, config.size)
    tables = parts.tokens(tokenizer)
    judged = data.load(["noto"]) if config.held_out == "noto" else []

    model = SigLIP(config.model, torch.Generator().manual_seed(config.seed)).train()
    nn.init.constant_(model.logit_bias, -5.0)  # one pair in some 150 is true
    if start:
        take_weights(model, start)
    averaged = {k: v.clone() for k, v in model.state_dict().items()}
    makers = optimizers(model, config)
    first, seconds = 0, 0.0
    if (out / STATE).exists():
        state = torch.load(out / STATE, weights_only=True)
        if state["config"] | {"steps": config.steps} != asdict(config):
            sys.exit(f"{out} has a run of another config: {state['config']}")
        model.load_state_dict(state["model"])
        averaged, first, seconds = state["averaged"], state["step"], state["seconds"]
        for maker, saved in zip(makers, state["optimizers"], strict=True):
            maker.load_state_dict(saved)
    size = sum(p.numel() for p in model.parameters())
    print(f"{size:,} parameters, {len(parts.pixels)} drawings of {len(parts.emoji)} emoji, "
          f"{len(parts.captions)} captions; from step {first}", flush=True)  # fmt: skip

    def save(step: int) -> None:
        buffer = io.BytesIO()
        torch.save(
            {
                "config": asdict(config), "step": step, "seconds": seconds,
                "model": model.state_dict(), "averaged": averaged,
                "optimizers": [maker.state_dict() for maker in makers],
            },
            buffer,
        )  # fmt: skip
        write_files(out, {STATE: buffer.getvalue()})

    def losses(x: Tensor, ids: Tensor, true: Tensor) -> Tensor:
        low = torch.autocast("cpu", torch.bfloat16) if "bfloat16" in fast else nullcontext()
        with low:
            images, texts = towers(x, ids)
        return sigmoid_loss(images, texts, model.logit_scale, model.logit_bias, labels=true)

    def both(x: Tensor, ids: Tensor) -> tuple[Tensor, Tensor]:
        return model.encode_image(x), model.encode_text(ids)

    towers = torch.compile(both) if "compiled" in fast else both
    backend = sdpa_kernel(SDPBackend.MATH) if "math" in fast else nullcontext()
    names = list(averaged)
    saved, started = time.monotonic(), time.process_time()
    total, counted = 0.0, 0
    with backend:
        for step in range(first, config.steps):
            rate = learning_rate(config, step)
            for maker in makers:
                for group in maker.param_groups:
                    group["lr"] = rate * group.get("factor", 1.0)
            loss = losses(*parts.batch(step, tables))
            if not torch.isfinite(loss):
                sys.exit(f"the loss is {loss.item()} in step {step}")
            model.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            for maker in makers:
                maker.step()
            share = 1 - min(config.average, (1 + step) / (100 + step) if not start else 1)
            now = model.state_dict()
            torch._foreach_lerp_([averaged[k] for k in names], [now[k] for k in names], share)
            total, counted, done = total + loss.item(), counted + 1, step + 1
            if done % every == 0 or done == config.steps:
                seconds, started = seconds + time.process_time() - started, time.process_time()
                line = {"step": done, "seconds": round(seconds), "loss": total / counted}
                line |= {"t": now["logit_scale"].exp().item(), "b": now["logit_bias"].item()}
                if judged:
                    line |= measured(config, averaged, processor, judged)
                started, total, counted = time.process_time(), 0.0, 0
                with (out / "log.jsonl").open("a") as log:
                    log.write(json.dumps(line) + "\n")
                print(json.dumps(line), flush=True)
            if time.monotonic() - saved > SECONDS_BETWEEN_STATES or done == config.steps:
                seconds, started = seconds + time.process_time() - started, time.process_time()
                save(done)
                saved = time.monotonic()
    processor.save_pretrained(out)
    with_weights(config, averaged).save_pretrained(out)


def with_weights(config: Config, weights: dict[str, Tensor]) -> SigLIP:
    """Make a model of these weights."""
    model = SigLIP(config.model, seed=0)
    model.load_state_dict(weights)
    return model.eval()


def measured(
    config: Config, weights: dict[str, Tensor], processor: Processor, drawings: Sequence[Drawing]
) -> dict[str, float]:
    """Name drawings; shares of right ones, rounded."""
    model, emoji = with_weights(config, weights), [drawing.emoji for drawing in drawings]
    with torch.inference_mode():
        x = torch.cat([processor(images=[d.image])["pixel_values"] for d in drawings])
        images = torch.cat([model.encode_image(part) for part in x.split(256)])
        texts = model.encode_text(processor.tokenizer([e.names["en"] for e in emoji]))
    return {
        k: round(v, 4) for k, v in asdict(data.naming(images @ texts.T, drawings, emoji)).items()
    }


def measure(out: Path, artist: str) -> None:
    """Print how well the averaged weights of a run name an artist's drawings."""
    state = torch.load(out / STATE, weights_only=True)
    config = Config(**state["config"])
    processor = Processor(Tokenizer(out / "spiece.model", config.context), config.size)
    print(state["step"], measured(config, state["averaged"], processor, data.load([artist])))


def export(out: Path, folder: Path) -> None:
    """Write a run's averaged weights in half precision, also while it runs: a checkpoint folder."""
    state = torch.load(out / STATE, weights_only=True)
    config = Config(**state["config"])
    with_weights(config, state["averaged"]).half().save_pretrained(folder)
    tokenizer = Tokenizer(out / "spiece.model", config.context)
    Processor(tokenizer, config.size).save_pretrained(folder)
    print(f"{folder}: the weights of step {state['step']:,} of {config.steps:,}")


def main() -> None:
    """Read the command line and run."""
    parser = argparse.ArgumentParser(
        description="Train a small SigLIP on emoji; measure, export it."
    )
    commands = parser.add_subparsers(dest="command", required=True)
    one = commands.add_parser("train")
    one.add_argument("out", type=Path)
    one.add_argument("--hands", type=Path, help="folder of more hands")
    one.add_argument("--start", type=Path, help="folder of a run whose weights to begin with")
    one.add_argument("--fast", default="", help="any of bfloat16, math, compiled, with commas")
    one.add_argument("--every", type=int, default=500, help="steps between measurements")
    one.add_argument("--threads", type=int, default=1)
    for each in fields(Config):
        flag = "--" + each.name.replace("_", "-")
        help_ = each.metadata.get("help", "")
        one.add_argument(flag, type=type(each.default), default=each.default, help=help_)
    two = commands.add_parser("measure")
    two.add_argument("out", type=Path)
    two.add_argument("--artist", default="noto", choices=("noto", "twemoji"))
    three = commands.add_parser("export")
    three.add_argument("out", type=Path)
    three.add_argument("folder", type=Path)
    options = parser.parse_args()
    if options.command == "measure":
        return measure(options.out, options.artist)
    if options.command == "export":
        return export(options.out, options.folder)
    torch.set_num_threads(options.threads)
    config = Config(**{each.name: getattr(options, each.name) for each in fields(Config)})
    train(options.out, config, options.hands, options.fast, options.every, options.start)


if __name__ == "__main__":
    main()
