"""Cuts the site's typefaces down to what its pages use: python book/_ext/fonts.py SANS MONO

SANS and MONO are the unpacked npm packages @ibm/plex-sans-variable and @ibm/plex-mono. It needs
fonttools and brotli; run it with them installed elsewhere, and commit the result.
"""

import shutil
import sys
from pathlib import Path

from fontTools import subset
from fontTools.ttLib import TTFont
from fontTools.varLib.instancer import instantiateVariableFont

OUT = Path(__file__).resolve().parents[1] / "_static/fonts"

LATIN = [*map(chr, range(0x20, 0x7F)), *map(chr, range(0xA0, 0x100))]
GREEK = "ΔΣΦΩαβγδεθλμπστφω"  # in prose; formulas have letters of their own
SIGNS = "–—‘’“”„…·•←↑→↓↔↗−×÷±≈≠≤≥√∞∂∑∏⁰¹²³⁴⁵⁶⁷⁸⁹⁻₀₁₂½¼¾ﬁﬂ▁■✓"
ITALIC = [*LATIN[:95], *"àâäéèêöüßçñ–—‘’“”…−×"]


def cut(source: Path, name: str, characters: list[str], limits: dict | None = None) -> None:
    """A font with these characters only, and these places on its axes."""
    font = TTFont(source)
    options = subset.Options(hinting=False)
    options.layout_features = ["kern", "mark", "mkmk", "ccmp", "locl", "tnum", "zero"]
    subsetter = subset.Subsetter(options)
    subsetter.populate(text="".join(characters))
    subsetter.subset(font)
    if limits:
        font = instantiateVariableFont(font, limits)
    # The licence keeps the name "Plex" for the font as it was.
    for record in font["name"].names:
        if record.nameID in (1, 3, 4, 6, 16, 25):
            record.string = name
    font.flavor = "woff2"
    font.save(OUT / f"{name}.woff2")
    missing = [c for c in characters if ord(c) not in font.getBestCmap()]
    print(name, (OUT / f"{name}.woff2").stat().st_size, "bytes, without", "".join(missing))


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    sans, mono = (Path(each) / "fonts/complete" for each in sys.argv[1:])
    roman, italic = (sans / f"ttf/IBM Plex Sans Var-{each}.ttf" for each in ("Roman", "Italic"))
    cut(roman, "book-sans", [*LATIN, *GREEK, *SIGNS], {"wght": (400, 700), "wdth": 100})
    cut(italic, "book-sans-italic", ITALIC, {"wght": 400, "wdth": 100})
    cut(mono / "woff2/IBMPlexMono-Regular.woff2", "book-mono", [*LATIN, *GREEK, *SIGNS])
    shutil.copy(sans.parents[1] / "LICENSE.txt", OUT / "LICENSE.txt")
    (OUT / "LICENSE.txt").chmod(0o644)
