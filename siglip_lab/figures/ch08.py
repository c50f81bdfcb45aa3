"""The figures of the chapter "The losses of CLIP and SigLIP"."""

import re

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.patches import PathPatch
from matplotlib.path import Path
from torch import Tensor

from siglip_lab.figures import style
from siglip_lab.figures.style import CENTRED, FRAME, IMAGE, JOINT, NEUTRAL, TEXT, WIDTH, styled

__all__ = [
    "asked_pairs",
    "six_questions",
    "pair_answers",
    "force_curves",
    "pair_gradients",
    "scale_losses",
    "first_losses",
    "cosine_drift",
    "start_clouds",
    "score_clouds",
    "three_rules",
    "gradient_lengths",
]

# What stands beside the names, in a square of 24, y down; as in book/_static/js/loss-pair.js.
_DRAWINGS = {
    "cat": "M4 3L9 7Q12 6 15 7L20 3L20.5 13Q20 21 12 21Q4 21 3.5 13ZM8.5 11L8.5 13M15.5 11L15.5 13"
    "M11 15.5L13 15.5L12 17ZM1 14L6 15.5M1 19L6 17.5M23 14L18 15.5M23 19L18 17.5",
    "dog": "M7 5Q12 3 17 5L18 14Q17 21 12 21Q7 21 6 14ZM7 5Q1 5 2 14Q5 16 6.3 11M17 5Q23 5 22 14"
    "Q19 16 17.7 11M9.5 10L9.5 12M14.5 10L14.5 12M10.5 15L13.5 15L12 17ZM12 17L12 18.5",
    "boat": "M2 16L22 16L18 21L6 21ZM12 16L12 2M12 3L20 13L12 13M12 5L5 13L12 13",
}
_CODES = {"M": [Path.MOVETO], "L": [Path.LINETO], "Q": [Path.CURVE3] * 2, "Z": [Path.CLOSEPOLY]}


@styled
def asked_pairs(images: list[str], texts: list[str], asked: dict[str, list]) -> plt.Figure:
    """Draw which pairs of a batch one term of a loss looks at; one panel for each term.

    Args:
        images: Names of the images, the rows.
        texts: Names of the texts, the columns.
        asked: Title to `[n_img][n_txt]`: true where the term looks.
    """
    figure, panels = _pair_panels(images, texts, list(asked))
    for axes, cells in zip(panels, asked.values(), strict=True):
        for (i, j), looks in np.ndenumerate(cells):
            face = (JOINT if i == j else NEUTRAL) + ("" if looks else "18")
            axes.add_patch(plt.Rectangle((j - 0.46, i - 0.46), 0.92, 0.92, facecolor=face))
            if i == j:
                axes.text(j, i, "own", color="white" if looks else JOINT, **CENTRED)
        axes.spines[:].set_visible(False)
    return figure


@styled
def six_questions(images: list[str], texts: list[str], rows: Tensor, columns: Tensor) -> plt.Figure:
    """Draw each question's shares as one bar, the right answer first, and what the question costs.

    Args:
        images: Names of the n images, each asked for its text.
        texts: Names of the n texts, each asked for its image.
        rows: Each image's shares `[n, n]`, own on the diagonal.
        columns: Each text's shares in its column `[n, n]`.
    """
    asked = {"a photo asked": (images, texts, rows), "a caption asked": (texts, images, columns.T)}
    figure, panels = plt.subplots(1, 2, figsize=(WIDTH, 2.2))
    for axes, colour, (title, (names, answers, shares)) in zip(
        panels, (IMAGE, TEXT), asked.items(), strict=True
    ):
        for i, row in enumerate(shares.tolist()):
            start = 0.0
            for j in sorted(range(len(row)), key=lambda j: (j != i, -row[j])):
                face = JOINT if i == j else NEUTRAL
                look = {"facecolor": face, "alpha": 1 if i == j else 0.3, "linewidth": 0}
                axes.add_patch(plt.Rectangle((start, i - 0.3), max(row[j] - 0.01, 0), 0.6, **look))
                if i == j:
                    words = f"{row[j]:.0%}"
                    axes.text(row[j] / 2, i, words, color="white", **CENTRED)
                elif row[j] > 0.2:  # there is room
                    axes.text(start + row[j] / 2, i, answers[j], **CENTRED)
                start += row[j]
            axes.text(1.06, i, f"{-np.log(row[i]):.2f}", va="center")
        axes.text(1.06, -0.72, "cost", va="center", color=NEUTRAL)
        axes.set_title(title, loc="left", color=colour, pad=4)
        axes.set(xlim=(0, 1.3), ylim=(len(names) - 0.5, -1.0), xticks=[])
        axes.set_yticks(range(len(names)), names)
        axes.tick_params(axis="y", length=0, colors=colour)
        axes.spines[:].set_visible(False)
    own = np.concatenate([rows.diagonal().numpy(), columns.diagonal().numpy()])
    figure.supxlabel(f"mean of the six costs: CLIP's loss, {-np.log(own).mean():.3f}")
    figure.tight_layout(w_pad=2)
    return figure


@styled
def pair_answers(
    images: list[str], texts: list[str], rows: Tensor, columns: Tensor, cells: Tensor
) -> plt.Figure:
    """Draw the answers of both losses, 0 to 1, with a frame around what adds up to 1, or a cell.

    Args:
        images: Names of the images, the rows.
        texts: Names of the texts, the columns.
        rows: Each row's shares `[n_img, n_txt]`.
        columns: Each column's shares `[n_img, n_txt]`.
        cells: Each pair's probability `[n_img, n_txt]`.
    """
    n, m = cells.shape
    panels = {  # title -> answers, height and width of a frame, its colour
        "CLIP: each row": (rows, (1, m), IMAGE),
        "CLIP: each column": (columns, (n, 1), TEXT),
        "SigLIP: each cell": (cells, (1, 1), JOINT),
    }
    figure, drawn = _pair_panels(images, texts, list(panels))
    for axes, (answers, (height, width), colour) in zip(drawn, panels.values(), strict=True):
        for (i, j), answer in np.ndenumerate(answers.numpy()):
            place = {"xy": (j - 0.42, i - 0.42), "width": 0.84, "height": 0.84, "linewidth": 0}
            face = JOINT if i == j else NEUTRAL
            axes.add_patch(plt.Rectangle(**place, facecolor=face, alpha=0.04 + 0.4 * answer))
            axes.text(j, i, f"{100 * answer:.0f}", **CENTRED)
        for i in range(0, n, height):
            for j in range(0, m, width):
                size = {"width": width - 0.1, "height": height - 0.1}
                look = {"fill": False, "edgecolor": colour, "linewidth": 1.6}
                axes.add_patch(plt.Rectangle((j - 0.45, i - 0.45), **size, **look))
        axes.spines[:].set_visible(False)
    return figure


@styled
def force_curves(logits: Tensor, forces: Tensor, named: dict[tuple[int, int], str]) -> plt.Figure:
    """Draw SigLIP's forces against the logit: pairs as dots on the two curves they lie on.

    Args:
        logits: `[n, n]`, own pairs on the diagonal.
        forces: The forces on them `[n, n]`.
        named: Row and column to the words beside that pair's dot.
    """
    figure, axes = plt.subplots(figsize=(WIDTH, 3.1))
    x = np.linspace(-6, 6, 200)
    axes.axhline(0, color=NEUTRAL, linewidth=0.8)
    for truth, colour, line in (0, NEUTRAL, "--"), (1, JOINT, "-"):
        axes.plot(x, style.sigmoid(x) - truth, line, color=colour)
        axes.fill_between(x, style.sigmoid(x) - truth, 0, color=colour, alpha=0.1, linewidth=0)
    for (i, j), force in np.ndenumerate(forces.numpy()):
        at, colour = (logits[i, j].item(), force), JOINT if i == j else NEUTRAL
        axes.plot(*at, "o", color=colour, clip_on=False, zorder=3)
        if (i, j) in named:
            aside = ("left", "top", (7, -5)) if i == j else ("right", "bottom", (-7, 5))
            words = f"{named[i, j]} {style.minus(f'{force:+.2f}')}"
            look = dict(zip(("ha", "va", "xytext"), aside, strict=True)) | {"color": colour}
            axes.annotate(words, at, textcoords="offset points", **look)
    right = {"ha": "right", "va": "center"}
    axes.text(5.8, 0.28, "others: pushed apart\nforce σ(logit)", color=NEUTRAL, **right)
    left = {"ha": "left", "va": "center", "color": JOINT}
    axes.text(-5.8, -0.28, "own: pulled together\nforce σ(logit) − 1", **left)
    axes.set(xlabel="logit", ylabel="force", xlim=(-6, 6), ylim=(-1.05, 1.05))
    axes.set_xticks([-5, 0, 5], ["−5", "0", "5"])
    axes.set_yticks([-1, -0.5, 0, 0.5, 1], ["−1", "−0.5", "0", "0.5", "1"])
    return figure


@styled
def pair_gradients(images: list[str], texts: list[str], gradients: dict[str, Tensor]) -> plt.Figure:
    """Draw the gradient with respect to each pair's logit: green pulls together, grey apart.

    Args:
        images: Names of the images, the rows.
        texts: Names of the texts, the columns.
        gradients: Title to gradients `[n_img, n_txt]`, from -1 (pull) to 1 (push).
    """
    figure, panels = _pair_panels(images, texts, list(gradients))
    for axes, values in zip(panels, gradients.values(), strict=True):
        for (i, j), value in np.ndenumerate(values.numpy()):
            none, colour = abs(value) < 0.05, NEUTRAL if value > 0 else JOINT
            cell = plt.Rectangle((j - 0.46, i - 0.46), 0.92, 0.92, fill=not none)
            if none:
                cell.set(edgecolor=FRAME, linewidth=0.8)
            else:
                cell.set(facecolor=colour, alpha=0.08 + 0.22 * abs(value), linewidth=0)
            axes.add_patch(cell)
            if none:
                axes.text(j, i, "0", color=NEUTRAL, **CENTRED)
            else:
                words = style.minus(f"{value:+.1f}")
                axes.text(j, i - 0.17, words, weight="bold", **CENTRED)
                _force_arrows(axes, (j, i + 0.23), value, colour)
        axes.spines[:].set_visible(False)
    return figure


def _force_arrows(axes, centre, force, colour):
    """Two arrows towards a point (a pull) or away from it; as in book/_static/js/loss-pair.js."""
    length = 5 + 16 * min(abs(force), 1)
    neck, half = length - min(8, length), 1.8 + 0.55 * min(8, length)
    x, y = [0, neck, neck, length, neck, neck, 0], [-1.8, -1.8, -half, 0, half, 1.8, 1.8]
    along = 1 + (length - np.array(x) if force < 0 else np.array(x))
    for side in (-1, 1):
        points = np.stack([side * along, y], axis=1) / 48 + centre
        axes.add_patch(plt.Polygon(points, facecolor=colour, linewidth=0))


def _pair_panels(images, texts, titles):
    """A panel for each title: images down the side of the first, texts along the bottom."""
    figure, (panels,) = plt.subplots(1, len(titles), figsize=(WIDTH, 2.3), squeeze=False)
    for axes, title in zip(panels, titles, strict=True):
        axes.set(xlim=(-0.5, len(texts) - 0.5), ylim=(len(images) - 0.5, -0.5), aspect="equal")
        axes.set_xticks(range(len(texts)), texts)
        axes.set_yticks(range(len(images)), [""] * len(images))
        axes.tick_params(length=0)
        axes.tick_params(axis="x", colors=TEXT)
        axes.set_title(title, pad=8)
    for i, name in enumerate(images):
        drawing = _drawing(name, (-0.97, i - 0.2))
        if drawing is not None:
            look = {"fill": False, "edgecolor": IMAGE, "linewidth": 1.2, "clip_on": False}
            panels[0].add_patch(PathPatch(drawing, **look))
        place = (-0.97, i + (0 if drawing is None else 0.27))
        panels[0].text(*place, name, color=IMAGE, **CENTRED)
    figure.tight_layout(w_pad=1.5)
    return figure, panels


def _drawing(name, centre):
    """The outlines of what is called so, half a cell high; None if there is no drawing of it."""
    vertices, codes = [], []
    for code, numbers in re.findall(r"([MLQZ])([-\d. ]*)", _DRAWINGS.get(name, "")):
        points = [float(number) for number in numbers.split()] or [0, 0]
        vertices += np.array(points).reshape(-1, 2).tolist()
        codes += _CODES[code]
    return Path(np.array(vertices) / 48 - 0.25 + centre, codes) if codes else None


@styled
def scale_losses(scales: Tensor, losses: Tensor, guessing: float) -> plt.Figure:
    """Draw a loss `[n]` against the scale t `[n]`, with its first, middle and last value.

    Args:
        scales: From the lowest to the highest, each the same factor above the last.
        losses: One for each scale.
        guessing: What a model pays that knows nothing; a line across.
    """
    figure, axes = plt.subplots(figsize=(WIDTH, 2.9))
    axes.axhline(guessing, color=NEUTRAL, linestyle="--", linewidth=1.2)
    look = {"textcoords": "offset points", "ha": "right", "color": NEUTRAL}
    axes.annotate(f"guessing: {guessing:.2f}", (scales[-1], guessing), (0, 6), **look)
    axes.plot(scales, losses, color=JOINT)
    marked = [0, len(scales) // 2, -1]
    for k, aside, side in zip(
        marked, [(4, -16), (8, 6), (0, 9)], ["left", "left", "right"], strict=True
    ):
        axes.plot(scales[k], losses[k], "o", color=JOINT, clip_on=False)
        look = {"textcoords": "offset points", "ha": side, "color": JOINT}
        axes.annotate(f"{losses[k]:.2f}", (scales[k], losses[k]), aside, **look)
    axes.set(xscale="log", xlabel="scale t", ylabel="CLIP's loss", xlim=(0.9, 110))
    axes.set(ylim=(-0.5, 11.5), yticks=[0, 5, 10])
    axes.set_xticks([scales[k] for k in marked], [f"{scales[k]:.0f}" for k in marked])
    axes.xaxis.set_minor_locator(plt.NullLocator())
    return figure


@styled
def first_losses(batch_sizes: list[int], starts: list[float]) -> plt.Figure:
    """Draw the sigmoid loss at cosine 0 against the bias; a dot where it is least.

    Args:
        batch_sizes: Numbers n of pairs, each with its curve.
        starts: Two biases to which arrows point, on the last batch size's curve: left, right.
    """
    figure, axes = plt.subplots(figsize=(WIDTH, 3.1))
    b = np.linspace(-16, 1, 500)
    for n, line in zip(batch_sizes, ("--", "-", ":"), strict=False):
        axes.plot(b, _first_loss(n, b), line, color=JOINT, label=f"n = {n:,}")
        best = -np.log(n - 1)
        at = (best, _first_loss(n, best))
        axes.plot(*at, "o", color=JOINT)
        words, below = style.minus(f"{best:.2f}"), {"ha": "center", "va": "top", "color": JOINT}
        axes.annotate(words, at, (0, -8), textcoords="offset points", **below)
    for start, aside in zip(starts, [(-8, 36), (-28, 3)], strict=True):
        at = (start, _first_loss(batch_sizes[-1], start))
        words = style.minus(f"b = {start:.0f}: {at[1]:,.1f}")
        pointer = {"arrowstyle": "-|>", "color": NEUTRAL, "shrinkA": 2, "shrinkB": 4}
        look = {"ha": "right", "va": "center", "color": NEUTRAL, "arrowprops": pointer}
        axes.annotate(words, at, aside, textcoords="offset points", **look)
    axes.set(yscale="log", xlabel="bias b", ylabel="loss at cosine 0", xlim=(-16, 1))
    axes.set_ylim(0.3, 100_000)
    axes.set_xticks([-15, -10, -5, 0])
    axes.set_yticks([1, 10, 100, 1000, 10_000], ["1", "10", "100", "1,000", "10,000"])
    axes.yaxis.set_minor_locator(plt.NullLocator())
    axes.legend(**style.ABOVE, ncols=len(batch_sizes))
    return figure


def _first_loss(n: int, b):
    """A batch's sigmoid loss per image if all its cosines are 0."""
    return np.logaddexp(0, -b) + (n - 1) * np.logaddexp(0, b)


@styled
def cosine_drift(histories: dict[str, Tensor], fall: tuple[str, int]) -> plt.Figure:
    """Draw mean cosines of own pairs and of all others in training: title to `[steps, 2]`.

    Args:
        histories: Title to mean cosines of own pairs and of others `[steps, 2]`.
        fall: The title of a run whose cosines fall at first, and the step at which they are down.
    """
    look = {"figsize": (WIDTH, 0.6 + 1.7 * len(histories)), "sharex": True, "squeeze": False}
    figure, panels = plt.subplots(len(histories), 1, **look)
    for axes, (title, history) in zip(panels[:, 0], histories.items(), strict=True):
        axes.axhline(0, color=NEUTRAL, linewidth=0.6)
        if title == fall[0]:
            axes.axvspan(0, fall[1], color=NEUTRAL, alpha=0.2, linewidth=0)
            axes.text(fall[1] + 1.5, 0.5, f"steps 0–{fall[1]}: fall, then settle", color=NEUTRAL)
        for k, line, colour in (0, "-", JOINT), (1, "--", NEUTRAL):
            axes.plot(history[:, k].numpy(), line, color=colour, linewidth=2)
        for k, name, colour, up in (0, "own", JOINT, 3), (1, "others", NEUTRAL, -3):
            place, look = (len(history) - 1, history[-1, k].item()), {"va": "center"}
            axes.annotate(name, place, (7, up), textcoords="offset points", color=colour, **look)
        axes.set_title(title, loc="left", weight="bold")
        axes.set(ylabel="mean cosine", xlim=(-1, len(history)), ylim=(-1, 1))
        axes.set_yticks([-1, 0, 1], ["−1", "0", "1"])
    panels[-1, 0].set_xlabel("step")
    return figure


@styled
def start_clouds(runs: dict[str, tuple[Tensor, float, float, str]]) -> plt.Figure:
    """Draw where several runs end: own pairs and as many others at their cosines, on one axis.

    Args:
        runs: Title to the cosines `[n, n]`, own pairs on the diagonal; the cosine above which a
            pair gets a yes; a share, written large; and what is written below it.
    """
    size = (WIDTH, 0.6 + 1.3 * len(runs))
    figure, panels = plt.subplots(len(runs), 1, figsize=size, sharex=True, squeeze=False)
    for axes, (title, run) in zip(panels[:, 0], runs.items(), strict=True):
        cosines, least, share, words = run
        axes.axvline(0, color=FRAME, linewidth=0.8)
        if least < 1:
            axes.axvspan(least, 1, color=JOINT, alpha=0.12, linewidth=0)
            axes.annotate(
                "yes", (1, 1.5), (0, 5), textcoords="offset points", ha="right", color=JOINT
            )
        _clouds(axes, cosines, length=0.02)
        axes.set_title(title, loc="left", pad=5, weight="bold")
        beside = {"transform": axes.transAxes}
        large = {"fontsize": 1.25 * style.SIZE, "weight": "bold"}
        axes.text(1.06, 0.82, f"{share:.0%}", va="bottom", **large, **beside)
        axes.text(1.06, 0.78, words, va="top", **beside)
        axes.set(xlim=(-1.03, 1), ylim=(-0.5, 1.5))
        axes.spines["left"].set_visible(False)
        axes.set_xticks([-1, -0.5, 0, 0.5, 1], ["−1", "−0.5", "0", "0.5", "1"])
        _name_clouds(axes)
    panels[-1, 0].set_xlabel("cosine")
    return figure


def _name_clouds(axes):
    """Write what the two levels of `_clouds` are."""
    axes.set_yticks([0, 1], ["others", "own"])
    axes.tick_params(axis="y", length=0)
    axes.get_yticklabels()[1].set_color(JOINT)


def _clouds(axes, scores: Tensor, length: float):
    """Draw a short line for each own pair, above, and for as many others, below; return both."""
    own, others = scores.diagonal().numpy(), scores.roll(-1, dims=1).diagonal().numpy()
    n = len(scores)
    for level, cloud, colour in (1, own, JOINT), (0, others, NEUTRAL):
        heights = level + 0.66 * (np.arange(n) * 0.618 % 1 - 0.5)  # spread evenly
        ends = np.stack([cloud - length / 2, cloud + length / 2]), np.stack([heights, heights])
        gap = np.full(n, np.nan)
        line = [np.vstack([each, gap]).T.ravel() for each in ends]
        axes.plot(*line, color=colour, linewidth=2, alpha=0.8)
    return own, others


@styled
def score_clouds(logits: dict[str, Tensor], free: str) -> plt.Figure:
    """Draw the logits of own pairs and of as many others, each title on its own axis, with two
    thresholds.

    Args:
        logits: Title to logits `[n, n]`, own pairs on the diagonal.
        free: The title where a constant is free: arrows over both clouds say that they may slide.
    """
    heights = [1.3 if title == free else 1 for title in logits]
    figure, panels = plt.subplots(len(logits), 1, figsize=(WIDTH, 4.6), height_ratios=heights)
    for axes, (title, scores) in zip(panels, logits.items(), strict=True):
        own, others = scores.diagonal(), scores.roll(-1, dims=1).diagonal()
        low, high = min(own.min(), others.min()).item(), max(own.max(), others.max()).item()
        room = (high - low) / 20
        _clouds(axes, scores, length=room / 9)
        cut = _best_cut(own.numpy(), others.numpy())
        top = 2.9 if title == free else 2.1
        axes.axvspan(*sorted([0, cut]), ymax=2 / (top + 0.5), color=FRAME, alpha=0.5, linewidth=0)
        named = (0.0, "logit 0", style.INK, "-"), (cut, "best threshold", JOINT, "--")
        for place, words, colour, line in named:
            # The lines end below their names, these below the arrows.
            axes.plot([place, place], [-0.5, 1.6], line, color=colour, linewidth=1.6)
            if place and title != free:
                words += f" {style.minus(f'{place:.0f}')}"
            right = place == max(0, cut) and high + room - place > len(words) * 0.42 * room
            aside = {"ha": "left" if right else "right", "va": "bottom", "color": colour}
            axes.text(place - (1 if right else -1) * 0.2 * room, 1.66, words, **aside)
        axes.set_title(title, loc="left", weight="bold")
        axes.set(xlim=(low - room, high + 2 * room), ylim=(-0.5, top), xlabel="logit")
        axes.xaxis.set_major_formatter(lambda x, _: style.minus(f"{x:.0f}"))
        _name_clouds(axes)
        if title == free:
            axes.set(xticks=[], xlabel="logit, up to a constant")
            across = axes.get_yaxis_transform()  # 0 is the left edge, 1 the right one
            look = {"arrowstyle": "-|>", "color": NEUTRAL}
            for start, end in (0.34, 0.04), (0.66, 0.96):
                axes.annotate("", (end, 2.65), (start, 2.65), across, across, arrowprops=look)
            axes.text(0.5, 2.65, "both free to slide", color=NEUTRAL, transform=across, **CENTRED)
    return figure


def _best_cut(own, others) -> float:
    """The threshold that gets most of them right."""
    cuts = np.sort(np.concatenate([own, others]))
    cuts = (cuts[1:] + cuts[:-1]) / 2
    return cuts[np.argmax([(own > c).sum() + (others <= c).sum() for c in cuts])].item()


@styled
def three_rules(logits: Tensor, cut: float, share_cut: float) -> plt.Figure:
    """Draw one photo's captions under three rules for a yes, and what the best must exceed.

    Args:
        logits: Of one photo with its captions `[n]`.
        cut: The threshold for the best logit.
        share_cut: The threshold for the best share of a softmax over the captions.
    """
    rules = {  # title -> values, what the best must exceed
        "best logit\n> threshold": (logits, cut),
        "best share\n> threshold": (logits.softmax(dim=0), share_cut),
        "best logit\n> 0": (logits, 0.0),
    }
    figure, panels = plt.subplots(1, len(rules), figsize=(WIDTH, 2.6))
    for axes, (title, (values, line)) in zip(panels, rules.items(), strict=True):
        best, most, shares = int(values.argmax()), values.max().item(), bool(values.min() >= 0)
        for i, value in enumerate(values.tolist()):
            colour, alpha = (JOINT, 1.0) if i == best else (NEUTRAL, 0.6)
            if shares:
                axes.bar(i, value, width=0.72, color=colour, alpha=alpha)
            else:
                axes.plot(i, value, "o", markersize=7, color=colour, alpha=alpha)
        axes.axhline(line, color=style.INK, linestyle="-" if line == 0 else "--", linewidth=1.4)
        low = 0 if shares else 1.15 * values.min().item()
        axes.set(xlim=(-0.7, len(values) - 0.3), ylim=(low, 1.15 if shares else -0.15 * low))
        form = next(  # enough places to tell them apart
            form
            for places in range(1, 9)
            if format(most, form := f".{places}{'%' if shares else 'f'}") != format(line, form)
        )
        least = format(line, form) if line else "0"
        words = f"{most:{form}} > {least}\nyes" if most > line else f"{most:{form}} < {least}\nno"
        axes.set_title(title, pad=6)
        axes.set(xticks=[], yticks=[])
        axes.set_xlabel(style.minus(words), weight="bold")
        axes.spines["left"].set_visible(False)
    figure.tight_layout(w_pad=2)
    return figure


@styled
def gradient_lengths(lengths: dict[str, float]) -> plt.Figure:
    """Draw the lengths of gradients as bars to one scale."""
    figure, axes = plt.subplots(figsize=(WIDTH, 0.3 + 0.42 * len(lengths)))
    axes.barh(list(lengths), list(lengths.values()), color=NEUTRAL, height=0.6)
    axes.invert_yaxis()
    for i, length in enumerate(lengths.values()):
        axes.annotate(f"{length:.2f}", (length, i), (6, 0), textcoords="offset points", va="center")
    axes.set(xlim=(0, 1.18 * max(lengths.values())), xticks=[])
    axes.tick_params(axis="y", length=0, colors=style.INK)
    axes.spines[:].set_visible(False)
    return figure
