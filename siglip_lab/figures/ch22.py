"""The figures of the chapter "SigLIP 2: what changed"."""

from matplotlib import pyplot as plt

from siglip_lab.figures.style import IMAGE, INK, JOINT, NEUTRAL, WIDTH, styled

__all__ = ["STAGES", "recipe"]

# What runs from which share of the training to its end, as the paper has it (section 2).
STAGES = {
    "sigmoid loss": (0, JOINT),
    "decoder": (0, IMAGE),
    "self-distillation": (80, IMAGE),
    "masked prediction": (80, IMAGE),
    "one image size each, from 95 %": (95, NEUTRAL),
    "or NaFlex, from 90 %": (90, NEUTRAL),
}


@styled
def recipe() -> plt.Figure:
    """Draw from when to when each part of SigLIP 2's training runs."""
    figure, axes = plt.subplots(figsize=(WIDTH, 2.6))
    for row, (name, (start, colour)) in enumerate(STAGES.items()):
        axes.barh(row, 100 - start, left=start, color=colour, height=0.6)
        inside = start == 0
        place = 2 if inside else start - 2
        look = {"va": "center", "ha": "left" if inside else "right"}
        axes.text(place, row, name, color="white" if inside else INK, **look)
    axes.invert_yaxis()
    axes.set(yticks=[], xlim=(0, 100), xlabel="share of the training")
    ticks = [0, 20, 40, 60, 80, 100]
    axes.set_xticks(ticks, [f"{t} %" for t in ticks])
    axes.spines["left"].set_visible(False)
    return figure
