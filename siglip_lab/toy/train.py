"""Train a small SigLIP on the shapes world: the loss, the loop, the checkpoint, the measurement.

The training is the paper's in miniature: two towers from scratch, the sigmoid loss over all pairs
of a batch, AdamW with beta2 = 0.95, warm-up and cosine decay. The result is an ordinary checkpoint
folder, which transformers loads too.

    python -m siglip_lab.toy.train --preset quick --out my_model      # about two minutes
    python -m siglip_lab.toy.train --preset shipped --out my_model    # about half an hour
"""

from __future__ import annotations

import argparse
import io
import math
import random
import shlex
import sys
import time
import warnings
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import sentencepiece
import torch
from torch import Tensor
from torch.nn import functional as F
from tqdm import tqdm

from siglip_lab.checks import check_integer, shown
from siglip_lab.configs import SigLIPConfig
from siglip_lab.inference import embed_images, embed_texts
from siglip_lab.loading.folder import write_files
from siglip_lab.model import SigLIP
from siglip_lab.preprocessing import resize, to_pixel_values
from siglip_lab.processor import Processor
from siglip_lab.published import get_config
from siglip_lab.terminal import Parser, run
from siglip_lab.tokenizer import Tokenizer, canonicalize
from siglip_lab.toy.shapes_world import (
    Caption,
    Scene,
    all_combinations,
    draw,
    held_out_combinations,
    random_caption,
    random_scene,
    training_combinations,
)

__all__ = [
    "TINY", "PRESETS", "Settings", "Batch", "Accuracy", "multi_label_sigmoid_loss",
    "training_batch", "train_tokenizer", "learning_rate", "train", "evaluate",
]  # fmt: skip

TINY = get_config("tiny")
STATE = "training_state.pt"  # in the checkpoint folder while training runs
SECONDS_BETWEEN_STATES = 30
PROGRAM = "python -m siglip_lab.toy.train"
THREADS = 1  # another number may sum in another order, and so end in other last bits


@dataclass(frozen=True)
class Settings:
    """Everything that decides which weights come out.

    Args:
        steps: Number of batches.
        batch_size: Pictures in a batch; each brings one caption.
        learning_rate: Peak of the schedule.
        weight_decay: AdamW's, on matrices only.
        warmup: Steps over which the learning rate rises.
        seed: Seed of the random weights, the pictures and the captions.
        config: Shape of the model; its vocabulary size is the tokenizer's.
    """

    steps: int = 5000
    batch_size: int = 64
    learning_rate: float = 2e-3
    weight_decay: float = 0.1
    warmup: int = 200
    seed: int = 0
    config: SigLIPConfig = field(default=TINY)

    def __post_init__(self):
        for name in ("steps", "batch_size"):
            check_integer(name, getattr(self, name))
        if self.batch_size > len(training_combinations()):
            raise ValueError(
                f"batch_size {self.batch_size} is above {len(training_combinations())}: no "
                "combination comes twice in a batch, and training has no more than these"
            )


# What the two reach is in `evaluate`'s terms: shipped about 0.96 on seen combinations, quick about
# 0.22, where guessing gives 0.003: colours and counts are learned first, shapes come late.
PRESETS = {
    "shipped": Settings(),
    "quick": Settings(steps=1300, batch_size=32, learning_rate=1e-3, warmup=60),
}


# ---- data and loss -------------------------------------------------------------------------------


@dataclass(frozen=True)
class Batch:
    """Pictures and captions: n scenes, n captions, and which caption is true of which scene."""

    scenes: list[Scene]
    captions: list[Caption]

    @property
    def labels(self) -> Tensor:
        """bool `[n, n]`: caption j is true of scene i. The diagonal is true."""
        return torch.tensor([[c.is_true_of(s) for c in self.captions] for s in self.scenes])


def training_batch(seed: int, step: int, batch_size: int) -> Batch:
    """The batch of one training step; it depends on nothing but the arguments.

    All scenes differ in their combination, and none is held out.

    Args:
        seed: Seed of the run.
        step: Number of the step, from 0.
        batch_size: Number n of scenes, at most 288.

    >>> batch = training_batch(seed=0, step=0, batch_size=8)
    >>> batch.labels.shape, bool(batch.labels.diagonal().all())
    (torch.Size([8, 8]), True)
    """
    rng = random.Random(f"train {seed} {step}")
    combinations = rng.sample(training_combinations(), batch_size)
    scenes = [random_scene(rng, combination) for combination in combinations]
    return Batch(scenes, [random_caption(scene, rng) for scene in scenes])


def multi_label_sigmoid_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """The sigmoid loss with any number of true captions per image.

    ``-1/n sum_ij log sigmoid(z_ij logit_ij)``, z = +1 for a true pair and -1 for a false one. Each
    pair is a question of its own, so nothing obliges a row to have exactly one positive: "red
    circles" and "2 shapes" are both true of a picture with 2 red circles, and both say so. A
    softmax would make them compete.

    Args:
        logits: `[n_img, n_txt]`.
        labels: bool `[n_img, n_txt]`.

    Returns:
        A scalar.

    Raises:
        TypeError: If the labels are not bool.
        ValueError: If the shapes differ, which broadcasting would hide.

    >>> loss = multi_label_sigmoid_loss(torch.zeros(2, 2), torch.eye(2, dtype=torch.bool))
    >>> round(loss.item() / math.log(2), 4)
    2.0
    """
    if labels.dtype != torch.bool:
        raise TypeError(
            f"labels are {labels.dtype}; expected bool, as labels > 0 makes of z = +1 and -1; soft "
            "labels are not supported"
        )
    if logits.shape != labels.shape:
        raise ValueError(
            f"logits have shape {tuple(logits.shape)}, labels {tuple(labels.shape)}: they must be "
            "equal, one label for each pair"
        )
    signs = labels.to(logits.dtype) * 2 - 1  # +1 true, -1 false
    return -F.logsigmoid(signs * logits).sum() / len(logits)


# ---- tokenizer -----------------------------------------------------------------------------------

_ENGLISH = """
the a an and or but not no yes is are was were be been has have had do does did can could will would
should may might must i you he she it we they me him her us them my your his its our their this that
these those here there who what when where why how which all some any many much more most few less
in on at to of for from with without by about into over under between behind before after through
near far up down out off left right top bottom middle next first last new old good bad best small
large big little tiny huge long short high low fast slow hot cold warm light dark open closed full
empty young happy sad nice great beautiful same other different one two three four five six seven
eight nine ten hundred thousand half time year day week month hour minute morning evening night
today tomorrow yesterday now then always never often again people person man woman child children
boy girl baby friend family mother father brother sister dog cat bird fish horse cow sheep bear
elephant animal tree flower grass leaf forest river lake sea ocean beach mountain hill sky sun cloud
rain snow wind water fire earth stone sand house home room door window wall floor table chair bed
kitchen garden street road city town village country world school book page word letter story name
number question answer car bus train plane boat ship bike wheel food bread milk egg cheese apple
orange banana cake coffee tea sugar salt hand head eye ear nose mouth face foot leg arm hair heart
body photo picture image drawing painting camera phone computer game ball music song dance work
money shop market king queen war peace love life death white gray gold silver colour color shape
size line point corner circle square triangle star see seen look watch hear say said tell ask give
take get got make made go went come came know think want need like find found put keep let begin
start stop end walk run sit stand sleep eat drink read write draw play sing buy sell build break
open close turn move show use try help learn teach live die win lose
""".split()
_SENTENCES = """
a photo of a cat sleeping on a sofa
a dog is running on the beach in the morning
two children play with a ball in the garden
the man in the white shirt drinks a cup of coffee
an old woman reads a book near the window
a plate of food with bread cheese and an apple
the train leaves the station at nine
a red bus drives through the city at night
snow covers the mountain behind the lake
a bird sits on the branch of a tall tree
what is in this picture and how many are there
this image shows a group of people who stand in front of a house
it is not what you think it is
there was nothing on the table but a letter
the quick brown fox jumps over the lazy dog
pack my box with five dozen liquor jugs
a close up of a flower with yellow petals
the boat moves slowly down the river under a bridge
they were walking home when it began to rain
she asked him where he had found the key
learning to see and to read at the same time
a black and white photograph of a street in winter
""".strip().splitlines()


def train_tokenizer(vocab_size: int = TINY.text.vocab_size) -> bytes:
    """Trains a SentencePiece model on the world's captions and some everyday English.

    Its layout is that of SigLIP's English vocabulary: `<pad>` 0, `</s>` 1, `<unk>` 2, no `<s>`;
    texts are padded with `</s>`.

    Args:
        vocab_size: Number of pieces.

    Returns:
        The bytes of a ``spiece.model``: the same bytes on every call.

    Raises:
        ValueError: If the texts do not yield so many pieces.
    """
    captions = [c.text for step in range(40) for c in training_batch(0, step, 100).captions]
    letters = [*"abcdefghijklmnopqrstuvwxyz0123456789"]
    texts = [canonicalize(text) for text in captions + 8 * (_ENGLISH + _SENTENCES + letters)]
    model = io.BytesIO()
    try:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(texts),
            model_writer=model,
            model_type="unigram",
            vocab_size=vocab_size,
            character_coverage=1.0,
            pad_id=0,
            eos_id=1,
            unk_id=2,
            bos_id=-1,
            num_threads=1,
            minloglevel=2,
        )
    except RuntimeError as error:
        raise ValueError(f"no vocabulary of {vocab_size} pieces: {error}") from error
    return model.getvalue()


# ---- training ------------------------------------------------------------------------------------


def train(
    out: str | Path, settings: Settings = PRESETS["quick"], resume: bool = False, **changes
) -> SigLIP:
    """Trains a model and writes it as a checkpoint folder.

    While it runs, the folder holds ``training_state.pt``, renewed every 30 seconds: a run that was
    killed or stopped with Ctrl-C goes on from there with `resume=True`, and ends with the same
    bits as one that was never stopped. The same settings give the same weights on the same
    machine with the same number of threads (`torch.set_num_threads`; the command line sets 1).

    Args:
        out: Folder to write, empty or not there yet.
        settings: A preset, or your own.
        resume: Go on with the run that `out` holds the state of.
        changes: Single settings to change, such as `steps=100`.

    Returns:
        The trained model, in eval mode.

    Raises:
        FileExistsError: If `out` is not empty and `resume` is false.
        FileNotFoundError: If there is nothing to resume.
        ValueError: If the unfinished run has other settings, or its state is damaged.
    """
    settings = replace(settings, **changes)
    out = Path(out)
    if not resume:
        _check_empty(out)
    model, optimizer = _begin(settings)
    first = _read_state(out / STATE, settings, model, optimizer) if resume else 0
    spiece = train_tokenizer(settings.config.text.vocab_size)
    out.mkdir(parents=True, exist_ok=True)
    _write_state(out / STATE, settings, model, optimizer, first)  # from here on it can be resumed
    write_files(out, {"spiece.model": spiece})
    tokenizer = Tokenizer(out / "spiece.model", settings.config.text.context_length)
    _loop(out, settings, model, optimizer, tokenizer, first)
    Processor(tokenizer, settings.config.vision.image_size).save_pretrained(out)
    model.save_pretrained(out)
    (out / STATE).unlink()
    return model.eval()


def _begin(settings: Settings) -> tuple[SigLIP, torch.optim.Optimizer]:
    """Random weights from the seed, and a fresh optimizer."""
    model = SigLIP(settings.config).train()
    model.init_weights(torch.Generator().manual_seed(settings.seed))
    # The paper's b = -10 fits batches of 16 thousand, with one true caption in as many. Here about
    # one pair in 25 is true, and log(1/24) is the bias that says so before anything is learned.
    torch.nn.init.constant_(model.logit_bias, math.log(1 / 24))
    matrices = [p for p in model.parameters() if p.ndim > 1]
    vectors = [p for p in model.parameters() if p.ndim <= 1]
    groups = [
        {"params": matrices, "weight_decay": settings.weight_decay},
        {"params": vectors, "weight_decay": 0.0},
    ]
    return model, torch.optim.AdamW(groups, betas=(0.9, 0.95), fused=True)


def _loop(out, settings, model, optimizer, tokenizer, first) -> None:
    """Runs the steps from `first` on, and writes the state now and then."""
    written = time.monotonic()
    steps = tqdm(range(first, settings.steps), initial=first, total=settings.steps, unit="step")
    for step in steps:
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(settings, step)
        batch = training_batch(settings.seed, step, settings.batch_size)
        loss = _step(model, optimizer, tokenizer, batch)
        steps.set_postfix(loss=f"{loss:.3f}")
        if time.monotonic() - written > SECONDS_BETWEEN_STATES:
            _write_state(out / STATE, settings, model, optimizer, step + 1)
            written = time.monotonic()


def _step(model: SigLIP, optimizer, tokenizer: Tokenizer, batch: Batch) -> float:
    """One step on one batch; returns its loss."""
    output = model(
        pixel_values=_pixel_values(batch.scenes, model.config.vision.image_size),
        input_ids=tokenizer([caption.text for caption in batch.captions]),
    )
    loss = multi_label_sigmoid_loss(output.logits_per_image, batch.labels)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss.item()


def _pixel_values(scenes: list[Scene], size: int) -> Tensor:
    """What `preprocess` gives for the pictures `[n, 3, S, S]`, without its threads: on pictures
    as small as these they cost more than they save."""
    return torch.stack([to_pixel_values(resize(draw(scene), size)) for scene in scenes])


def learning_rate(settings: Settings, step: int) -> float:
    """The learning rate of a step: linear warm-up, then half a cosine down to zero.

    Args:
        settings: The run's settings.
        step: Number of the step, from 0.

    >>> settings = Settings(steps=100, warmup=10, learning_rate=1.0)
    >>> [round(learning_rate(settings, step), 2) for step in (0, 9, 55, 99)]
    [0.1, 1.0, 0.5, 0.0]
    """
    if step < settings.warmup:
        return settings.learning_rate * (step + 1) / settings.warmup
    progress = (step - settings.warmup) / max(1, settings.steps - settings.warmup)
    return settings.learning_rate * 0.5 * (1 + math.cos(math.pi * progress))


def _check_empty(folder: Path) -> None:
    if (folder / STATE).exists():
        raise FileExistsError(
            f"{folder / STATE} is the state of an unfinished run: resume it, or delete the folder "
            "to begin anew"
        )
    if folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
        raise FileExistsError(f"{folder} exists and is not an empty folder: name another one")


def _read_state(path: Path, settings: Settings, model: SigLIP, optimizer) -> int:
    """Puts model and optimizer where an unfinished run was; returns its next step."""
    if not path.exists():
        raise FileNotFoundError(f"nothing to resume: there is no {path}")
    file = io.BytesIO(path.read_bytes())
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about the pickles of other programs
            state = torch.load(file, weights_only=True)
        found, first = state["settings"], state["step"]
        asked = asdict(settings)
        differing = [k for k in asked if asked[k] != found[k]]
        if not differing:
            model.load_state_dict(state["model"])
            optimizer.load_state_dict(state["optimizer"])
            check_integer("step", first, least=0)
    except Exception as error:  # whatever torch meets in a file that is not its own
        raise ValueError(
            f"{path} is damaged, or no state of a training run: delete the folder to begin anew"
        ) from error
    if differing:
        words = "; ".join(f"{k} {found[k]} (now {asked[k]})" for k in differing)
        raise ValueError(
            f"{path} was written with other settings: {words}. Resume with the settings that the "
            "run began with, or train into another folder"
        )
    return first


def _write_state(path, settings, model, optimizer, step) -> None:
    buffer = io.BytesIO()
    state = {"settings": asdict(settings), "step": step}
    torch.save(state | {"model": model.state_dict(), "optimizer": optimizer.state_dict()}, buffer)
    write_files(path.parent, {path.name: buffer.getvalue()})


# ---- measurement ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Accuracy:
    """Shares of pictures whose best label of all 320 is the right one, and numbers of pictures."""

    seen: float
    held_out_triples: float
    held_out_pairs: float
    pictures: dict[str, int]


def evaluate(
    model: SigLIP,
    processor: Processor,
    pictures_per_combination: int = 10,
    seed: int = 0,
    template: str = "This is a photo of {}.",
) -> Accuracy:
    """Zero-shot accuracy on new pictures, with all combinations of the world as labels.

    Args:
        model: The model.
        processor: Its processor.
        pictures_per_combination: New pictures of each of the 320 combinations.
        seed: Seed of the pictures; none of them occurs in training.
        template: Sentence into which a label is put.

    Returns:
        Accuracy on combinations seen in training, on held-out triples and on held-out pairs.
    """
    groups = {
        "seen": list(training_combinations()),
        "held_out_triples": sorted(held_out_combinations("triples")),
        "held_out_pairs": sorted(held_out_combinations("pairs")),
    }
    labels = all_combinations()
    texts = [template.replace("{}", label.label) for label in labels]
    text_embeds = embed_texts(model, processor, texts)  # [320, D]
    shares, pictures = {}, {}
    for name, combinations in groups.items():
        rng = random.Random(f"evaluate {seed} {name}")
        right = []
        for _ in range(pictures_per_combination):
            images = [draw(random_scene(rng, combination)) for combination in combinations]
            embeds = embed_images(model, processor, images)
            best = (embeds @ text_embeds.T).argmax(dim=1)  # the logits' order is the cosines'
            right += [labels[i] == c for i, c in zip(best.tolist(), combinations, strict=True)]
        shares[name], pictures[name] = sum(right) / len(right), len(right)
    return Accuracy(**shares, pictures=pictures)


# ---- command line --------------------------------------------------------------------------------


def main(arguments: list[str] | None = None) -> int:
    """The command line: ``python -m siglip_lab.toy.train --help``.

    Args:
        arguments: The words after the program's name; default: the process's own.

    Returns:
        The exit status: 0, 1 for an error, 130 if stopped with Ctrl-C.
    """
    words = sys.argv[1:] if arguments is None else arguments
    options = _parser().parse_args(words)
    return run(lambda: _train_and_evaluate(options, words))


def _train_and_evaluate(options, words: list[str]) -> None:
    given = {name: getattr(options, name) for name in ("steps", "batch_size", "seed")}
    changes = {name: value for name, value in given.items() if value is not None}
    torch.set_num_threads(options.threads)
    try:
        model = train(options.out, PRESETS[options.preset], options.resume, **changes)
    except KeyboardInterrupt:
        if (Path(options.out) / STATE).exists():
            again = shlex.join(words if options.resume else [*words, "--resume"])
            again = shown(again, len(again))
            print(f"\nStopped. Go on with: {PROGRAM} {again}", file=sys.stderr)
        raise
    except BrokenPipeError as error:  # the progress bar's: this run is not at its end
        raise ValueError("stopped, for nobody reads the progress: go on with --resume") from error
    accuracy = evaluate(model, Processor.from_pretrained(options.out))
    for name, number in accuracy.pictures.items():
        print(f"{name:17} {getattr(accuracy, name):6.1%} of {number} new pictures")


def _parser() -> Parser:
    parser = Parser(
        prog=PROGRAM,
        description="Train a small SigLIP on the shapes world and measure it on new pictures.",
    )
    parser.add_argument(
        "--preset",
        choices=PRESETS,
        default="quick",
        help="quick: about two minutes (default); shipped: the weights that the package carries",
    )
    most = len(training_combinations())
    parser.add_argument("--out", required=True, help="checkpoint folder to write")
    parser.add_argument("--steps", type=_whole(1, 10**9), help="number of batches")
    parser.add_argument("--batch-size", type=_whole(1, most), help="pictures in a batch")
    parser.add_argument(
        "--seed", type=_whole(-(2**63), 2**63 - 1), help="seed of weights, pictures and captions"
    )
    parser.add_argument(
        "--threads", type=_whole(1, 1024), default=THREADS, help="CPU threads (%(default)s)"
    )
    parser.add_argument("--resume", action="store_true", help="go on with an unfinished run")
    return parser


def _whole(least: int, most: int):
    """The type of an argument: a whole number in a range."""

    def whole_number(text: str) -> int:
        if not (text.lstrip("-").isdecimal() and least <= int(text) <= most):
            raise argparse.ArgumentTypeError(f"{text!r} is no whole number from {least} to {most}")
        return int(text)

    return whole_number


if __name__ == "__main__":
    sys.exit(main())
