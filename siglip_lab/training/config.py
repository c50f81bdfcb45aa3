"""Everything that decides which weights come out of a training, with the paper's numbers."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Any

from siglip_lab.checks import check_integer, shown
from siglip_lab.training.data import Augment

__all__ = ["LEARN", "PRECISIONS", "TrainConfig", "option"]

LEARN = ("all", "text", "vision", "last", "lora")
PRECISIONS = ("auto", "float32", "bfloat16")
_DERIVED: Any = None  # `__post_init__` puts what follows from the rest
_MOST_RATE = 0.1  # AdamW moves every weight by about its rate, whatever the gradient is


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """What a training does. Where None is the default, the paper's choice is taken.

    Args:
        steps: Number of batches.
        batch_size: Pictures of a batch, over all processes; each brings one caption.
        micro_batch_size: Pictures that go through the towers at once, in a process. The gradients
            are those of the whole batch, for a second forward pass. None: all.
        learning_rate: Peak of the schedule. None: 1e-3 for new weights, a tenth of it for
            pre-trained ones (the paper's multiplier), 5e-4 for LoRA: measured on tiny, with which
            it forgets about as much as all weights do with 1e-4; 1e-3 forgets far more.
        weight_decay: AdamW's, on matrices. None: 1e-4 for new weights, none on pre-trained ones.
        warmup: Steps over which the learning rate rises. None: a tenth of all.
        seed: Seed of the order, the captions, augmentation, the split and new weights.
        learn: "all"; "text" (LiT: the image tower stays as it is) or "vision", one tower; "last",
            the last `layers` of both; "lora", low-rank additions to both. t and b always learn.
        layers: How many layers of each tower "last" teaches, with the heads.
        rank: The additions' rank.
        adapt_head: Whether LoRA reaches the packed projection of the image tower's head.
        from_scratch: Whether the weights are new, not pre-trained.
        labels: Whether captions that belong to several pictures of a batch count as true of each.
        augment: What is done to a training picture before it is resized. None: nothing.
        max_grad_norm: Longer gradients are shortened to it.
        max_logit_scale: Largest t. None: no limit, as in SigLIP; CLIP has 100, which is less than
            the released so400m's 112.
        ema: Decay of a moving average of the weights, such as 0.999, which is what is measured and
            saved. None: none.
        precision: "float32"; "bfloat16" for the towers, with weights and loss in float32; "auto":
            bfloat16 on a GPU that has it.
        grad_checkpointing: Compute layers again in backward instead of keeping what is in them.
        validate_every: Steps between two measurements, after each of which the checkpoint is
            renewed. None: a quarter of all.
        remainder: What to do with an epoch's last pictures, too few for a batch: "drop" (others
            each time) or "refuse" such data.

    Raises:
        TypeError, ValueError: If a value is none that can be trained with.
    """

    steps: int = 1000
    batch_size: int = 64
    micro_batch_size: int = _DERIVED
    learning_rate: float = _DERIVED
    weight_decay: float = _DERIVED
    warmup: int = _DERIVED
    seed: int = 0
    learn: str = "all"
    layers: int = 2
    rank: int = 8
    adapt_head: bool = True
    from_scratch: bool = False
    labels: bool = True
    augment: Augment | None = None
    max_grad_norm: float = 1.0
    max_logit_scale: float | None = None
    ema: float | None = None
    precision: str = "auto"
    grad_checkpointing: bool = False
    validate_every: int = _DERIVED
    remainder: str = "drop"

    def __post_init__(self):
        for name in ("steps", "batch_size", "layers", "rank"):
            check_integer(name, getattr(self, name))
        self._fill("micro_batch_size", self.batch_size)
        trained = 5e-4 if self.learn == "lora" else 1e-4
        self._fill("learning_rate", 1e-3 if self.from_scratch else trained)
        self._fill("weight_decay", 1e-4 if self.from_scratch else 0.0)
        self._fill("warmup", self.steps // 10)
        self._fill("validate_every", max(1, self.steps // 4))
        check_integer("micro_batch_size", self.micro_batch_size)
        check_integer("validate_every", self.validate_every)
        check_integer("warmup", self.warmup, least=0)
        for name, choices in (
            ("learn", LEARN), ("precision", PRECISIONS), ("remainder", ("drop", "refuse"))
        ):  # fmt: skip
            if getattr(self, name) not in choices:
                raise ValueError(
                    f"{name} is {shown(repr(getattr(self, name)))}; expected one of "
                    f"{', '.join(choices)}"
                )
        if not 0 < self.learning_rate <= _MOST_RATE:
            raise ValueError(
                f"learning_rate is {self.learning_rate}; expected above 0 and at most {_MOST_RATE}"
                ": AdamW moves each weight by about this much a step, and weights are about 0.02. "
                "Try 1e-3 for new weights, 1e-4 or less for trained ones"
            )
        self._check_number("weight_decay", 0, 1)
        self._check_number("max_grad_norm", 1e-6, math.inf)
        if self.ema is not None:
            self._check_number("ema", 0.5, 0.999999)
        if self.max_logit_scale is not None:
            self._check_number("max_logit_scale", 1, 1e6)

    def _fill(self, name: str, value: Any) -> None:
        if getattr(self, name) is None:
            object.__setattr__(self, name, value)

    def _check_number(self, name: str, least: float, most: float) -> None:
        value = getattr(self, name)
        if not isinstance(value, (int, float)) or not least <= value <= most:  # NaN is refused, too
            raise ValueError(f"{name} is {shown(repr(value))}; expected {least} to {most}")

    def to_dict(self) -> dict[str, Any]:
        """All values as JSON has them; the augmentation by its name."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        augment = self.augment
        if augment is not None:
            values["augment"] = getattr(augment, "__qualname__", None) or _partial(augment)
        return values


def option(name: str) -> str:
    """A setting as the command line calls it.

    >>> option("batch_size"), option("validate_every")
    ('--batch-size', '--measure-every')
    """
    others = {"validate_every": "--measure-every", "adapt_head": "--without-head"}
    others["labels"] = "--ignore-duplicates"
    return others.get(name) or "--" + name.replace("_", "-")


def _partial(function: Any) -> str:
    """A `functools.partial` by the names of its parts, which stay the same in another process."""
    inner = getattr(function, "func", function)
    given = getattr(function, "args", ()), getattr(function, "keywords", {})
    words = [getattr(inner, "__qualname__", type(inner).__name__)]
    for value in (*given[0], *sorted(given[1].items())):
        many = value if isinstance(value, tuple) else (value,)
        words += [getattr(each, "__qualname__", None) or str(each) for each in many]
    return " ".join(words)
