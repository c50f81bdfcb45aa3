"""Draws the picture that a shared link shows, in the tests' browser: python book/_ext/card.py"""

import base64
import sys
from io import BytesIO
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests"))
import browser  # noqa: E402

STATIC = ROOT / "book/_static"


def inline(path: Path, kind: str) -> str:
    return f"data:{kind};base64,{base64.b64encode(path.read_bytes()).decode()}"


PAGE = f"""<!doctype html><style>
@font-face {{ font-family: Book; font-weight: 400 700;
  src: url({inline(STATIC / "fonts/book-sans.woff2", "font/woff2")}); }}
body {{ margin: 0; width: 1200px; height: 630px; background: #FDFCFA; color: #1F2329;
  font: 400 34px/1.35 Book; position: relative; overflow: hidden; }}
h1 {{ position: absolute; left: 72px; top: 150px; margin: 0; width: 540px;
  font: 650 84px/1.04 Book; letter-spacing: -0.025em; }}
p {{ position: absolute; left: 76px; top: 366px; margin: 0; width: 430px; color: #5A6069; }}
svg {{ position: absolute; inset: 0; fill: none; stroke-width: 9; stroke-linecap: round;
  stroke-linejoin: round; }}
img {{ position: absolute; left: 620px; top: 56px; width: 234px; height: 234px; object-fit: cover;
  object-position: 50% 20%; border-radius: 14px; border: 5px solid #2563AB; }}
b {{ position: absolute; left: 886px; top: 446px; font: 600 33px/1 Book; color: #A8540A;
  padding: 18px 20px; border: 5px solid #A8540A; border-radius: 14px; white-space: nowrap; }}
</style><h1>SigLIP,<br>step by step</h1>
<p>Does this sentence belong to this photo? Every number between the two.</p>
<svg viewBox="0 0 1200 630">
  <path stroke="#1F7A4A" d="M658.6 432.2A130 130 0 0 1 748.5 524.5"/>
  <path stroke="#2563AB" d="M625 558 686 330M656 356l30-26 12 38"/>
  <path stroke="#A8540A" d="M625 558 862 494M834 478l28 16-18 27"/>
</svg>
<img src="{inline(ROOT / "siglip_lab/data/chelsea.png", "image/png")}"><b>a photo of a cat</b>"""

if __name__ == "__main__":
    with sync_playwright() as playwright:
        window = playwright.chromium.launch(executable_path=browser.find(), args=browser.FLAGS)
        page = window.new_page(viewport={"width": 1200, "height": 630})
        page.set_content(PAGE, wait_until="networkidle")
        page.evaluate("document.fonts.ready")
        picture = Image.open(BytesIO(page.screenshot()))
    picture.convert("RGB").quantize(256, kmeans=4).save(STATIC / "card.png", optimize=True)
