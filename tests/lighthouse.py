"""What Lighthouse says of the built site on a phone: `make lighthouse`, with node 20 and npx.

`python tests/lighthouse.py FOLDER OUT [PAGE ...]`: without pages, the landing page and every
chapter. Writes OUT/PAGE.json, prints a table and writes it to OUT/table.md.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

from browser import FLAGS, find
from serving import served

LIGHTHOUSE = "lighthouse@12.8.2"
CATEGORIES = ("performance", "accessibility", "best-practices", "seo")
HEAD = ("page", *CATEGORIES, "LCP s", "TBT ms", "CLS", "KiB", "requests")


def measure(address: str, page: str, out: Path) -> dict:
    """Lighthouse's own report of one page, which is written to OUT."""
    file = out / (page.replace("/", "-") + ".json")
    run = subprocess.run(
        [
            *os.environ.get("LIGHTHOUSE", f"npx --yes {LIGHTHOUSE}").split(),
            f"{address}/{page}",
            "--output=json",
            f"--output-path={file}",
            f"--only-categories={','.join(CATEGORIES)}",
            f"--chrome-flags=--headless=new {' '.join(FLAGS)}",
            "--quiet",
        ],
        env=os.environ | {"CHROME_PATH": find() or ""},
        capture_output=True,
        text=True,
    )
    if run.returncode:
        raise SystemExit(f"lighthouse stopped at {page}:\n{run.stderr}")
    return json.loads(file.read_text("utf-8"))


def row(page: str, report: dict) -> list[str]:
    audits = report["audits"]
    requests = audits["network-requests"]["details"]["items"]
    return [
        page.removesuffix(".html"),
        *(f"{100 * report['categories'][name]['score']:.0f}" for name in CATEGORIES),
        f"{audits['largest-contentful-paint']['numericValue'] / 1000:.2f}",
        f"{audits['total-blocking-time']['numericValue']:.0f}",
        f"{audits['cumulative-layout-shift']['numericValue']:.3f}",
        f"{sum(r['transferSize'] for r in requests if r['url'].startswith('http')) / 1024:.0f}",
        str(sum(r["url"].startswith("http") for r in requests)),
    ]


def main(folder: Path, out: Path, pages: list[str]) -> None:
    out.mkdir(parents=True, exist_ok=True)
    if not pages:
        chapters = sorted(folder.glob("notebooks/*.html"))
        pages = ["index.html", *(f"notebooks/{path.name}" for path in chapters)]
    lines = [HEAD, ["---"] * len(HEAD)]
    with served(folder) as address:
        for page in pages:
            lines.append(row(page, measure(address, page, out)))
            print(*lines[-1], flush=True)
    table = "".join(f"| {' | '.join(line)} |\n" for line in lines)
    (out / "table.md").write_text(table, "utf-8")
    print(f"\n{table}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:])
