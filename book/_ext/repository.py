"""Says everywhere where the repository lives: python book/_ext/repository.py URL

An empty URL takes it out again. Beside `_config.yml`, which the site reads, it must stand in the
first cell of each notebook, in the package's metadata and in what describes the repository.
"""

import json
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# Colab opens notebooks from GitHub only.
PATTERN = r"https://github\.com/([\w-]+)/([\w.-]+)(?<!\.git)"

# File, what is there with an address or without one, and what is put there.
PLACES = [
    ("_config.yml", r"(?<=\nrepository:\n  url: ).*(?=\n)", lambda url: url or '""'),
    (
        "CITATION.cff",
        r"(repository-code: .*\n)?(?=keywords:)",
        lambda url: f"repository-code: {url}\n" if url else "",
    ),
    (
        "pyproject.toml",
        r"(\[project\.urls\]\n(.+\n)+\n)?(?=\[tool\.setuptools\.packages\.find\])",
        lambda url: project_urls(url) if url else "",
    ),
    (
        "README.md",
        r"(?<=\]\()\S*(?=book/_static/walk\.svg\))",
        lambda url: f"{url}/raw/HEAD/" if url else "",
    ),
    (
        "index.md",
        r"(git clone \S+\ncd \S+\n)?(?=make book    # )",
        lambda url: f"git clone {url}\ncd {url.rpartition('/')[2]}\n" if url else "",
    ),
]

INSTALL = """\
if importlib.util.find_spec("siglip_lab") is None:
    %pip install -q "siglip-lab[notebooks] @ git+{url}"
"""
FIRST_CELL = """\
# Where the library is missing, nothing below would run.
import importlib.util

{install}if importlib.util.find_spec("siglip_lab") is None:
    raise ModuleNotFoundError(
        "siglip_lab is not installed: in the book's folder, run "
        "pip install '.[notebooks]', then start this notebook again"
    )"""


def project_urls(url: str) -> str:
    owner, name = re.fullmatch(PATTERN, url).groups()
    return (
        "[project.urls]\n"
        f'Documentation = "https://{owner}.github.io/{name}/"\n'
        f'Repository = "{url}"\n'
        f'Changelog = "{url}/blob/HEAD/CHANGELOG.md"\n\n'
    )


def first_cell(url: str) -> str:
    return FIRST_CELL.format(install=INSTALL.format(url=url) if url else "")


def texts(root: Path, url: str) -> dict[Path, str]:
    """Each file's text as it must be for this address."""
    if url and not re.fullmatch(PATTERN, url):
        raise ValueError(f"expected an address like https://github.com/OWNER/NAME, got {url!r}")
    found = {}
    for name, place, text in PLACES:
        before = (root / name).read_text("utf-8")
        found[root / name], times = re.subn(place, lambda _, t=text: t(url), before, count=1)
        if not times:
            raise ValueError(f"{name}: no place for the address, {place!r} matches nothing")
    for path in sorted((root / "notebooks").glob("*.ipynb")):
        notebook = json.loads(path.read_text("utf-8"))
        cell = next(each for each in notebook["cells"] if each["cell_type"] == "code")
        cell["source"] = first_cell(url).splitlines(keepends=True)
        found[path] = json.dumps(notebook, indent=1, ensure_ascii=False) + "\n"
    return found


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    try:
        changed = texts(ROOT, sys.argv[1])
    except ValueError as error:
        sys.exit(f"make repository: {error}")
    for path, text in changed.items():
        path.write_text(text, "utf-8", newline="\n")
