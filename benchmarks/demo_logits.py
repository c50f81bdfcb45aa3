"""The logits that big_vision's two demo notebooks keep: real photos, real captions, real models.

The demos print a table whose numbers come from a matrix of logits without the bias, stored beside
it. Here it is read, with t and b as the demos show them, and with the subject of each photo and
each caption: the demos set captions on one subject in a block of their own.

Run ``python -m benchmarks.demo_logits CHECKOUT`` on a checkout of google-research/big_vision
(Apache-2.0); it writes ``siglip_lab/data/results/demo_logits.json``.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys

from benchmarks.common import RESULTS, write

FOLDER = "big_vision/configs/proj/image_text"
PHOTOS = [
    ("apple-ipod.jpg", "apple"), ("apple-blank.jpg", "apple"), ("cold_drink.jpg", "drink"),
    ("hot_drink.jpg", "drink"), ("caffeine.jpg", "people"), ("siglip.jpg", "people"),
    ("authors.jpg", "people"), ("robosign.jpg", "street"), ("cow_beach.jpg", "cow"),
    ("cow_beach2.jpg", "cow"), ("mountain_view.jpg", "view"),
]  # fmt: skip
MODELS = {  # name -> notebook, captions on each subject, in their order
    "SigLIP large-patch16-384": (
        "SigLIP_demo.ipynb",
        {"apple": 5, "drink": 4, "people": 6, "street": 8, "cow": 4, "view": 4},
    ),
    "SigLIP 2 so400m-patch16-256": (
        "SigLIP2_demo.ipynb",
        {"apple": 4, "drink": 4, "people": 6, "cow": 3, "view": 1},
    ),
}


def read(notebook: dict, subjects: dict[str, int]) -> dict:
    """t, b, captions and logits `[n_img][n_txt]` of the first table in a demo."""
    outputs = [o for cell in notebook["cells"] for o in cell.get("outputs", [])]
    printed = "".join("".join(o.get("text", "")) for o in outputs)
    scripts = ["".join(o.get("data", {}).get("application/javascript", "")) for o in outputs]
    tables = ["".join(o.get("data", {}).get("text/html", "")) for o in outputs]
    stored = next(s for s in scripts if "var logits" in s)
    table = next(t for t in tables if "class=txt" in t)
    rows = json.loads(stored[stored.index("[[") : stored.rindex("]]") + 2])
    texts = re.findall(r"class=txt>([^<]*)", table)
    return {
        "t": float(re.search(r"Learned temperature ([\d.]+)", printed)[1]),
        "b": round(float(re.search(r"name=b value=(-[\d.]+)", table)[1]), 6),
        "photos": [name for name, _ in PHOTOS],
        "texts": texts,
        "photo_subjects": [subject for _, subject in PHOTOS],
        "text_subjects": [subject for subject, n in subjects.items() for _ in range(n)],
        "logits_without_b": [[round(logit, 4) for logit in row] for row in rows],
    }


def main(checkout: str) -> None:
    def git(*words: str) -> str:
        command = ["git", "-C", checkout, *words]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    models = {
        name: {
            "notebook": notebook,
            **read(json.loads(git("show", f"HEAD:{FOLDER}/{notebook}")), n),
        }
        for name, (notebook, n) in MODELS.items()
    }
    result = {
        "what": "t * cosine of 11 photos and their demo captions; benchmarks/demo_logits.py",
        "source": f"https://github.com/google-research/big_vision/tree/main/{FOLDER}",
        "commit": git("rev-parse", "HEAD").strip(),
        "licence": "Apache-2.0, the big_vision authors",
        "models": models,
    }
    write(result, RESULTS / "demo_logits.json")


if __name__ == "__main__":
    main(sys.argv[1])
