"""The book's figures: tensors in, a `Drawing` out; only the book needs them.

`chNN` draws what chapter NN shows, `style` what several chapters show, and the look of all; `svg`
makes of it what stands in a page; `tables` writes numbers beside bars of their size; `touch` has
the elements that a reader can touch. Needs the extra "notebooks".
"""

from importlib.util import find_spec

if find_spec("matplotlib") is None:
    raise ModuleNotFoundError(
        "siglip_lab.figures draws with matplotlib: pip install 'siglip-lab[notebooks]'",
        name="matplotlib",
    )
