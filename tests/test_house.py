"""The house: what a reader meets in one evening is short, and every room can be entered alone."""

import ast
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "siglip_lab"

# The walk, in the order in which it is read
EVENING = (
    "configs", "images", "preprocessing", "tokenizer", "patches", "encoder", "pooling", "towers",
    "model", "processor", "inference", "losses",
)  # fmt: skip
IMAGE_TOWER = ("patches", "encoder", "pooling", "towers")
# What the walk may import beside itself
GROUND = {
    "batches", "checks", "decoding", "image_checks", "initialization", "loading", "loss_checks",
    "pairs",
}  # fmt: skip

MODULES = sorted(
    path.relative_to(ROOT).with_suffix("").as_posix().replace("/", ".").removesuffix(".__init__")
    for path in PACKAGE.rglob("*.py")
    if path.name != "__main__.py"
)


def lines(module: str) -> int:
    return len((PACKAGE / f"{module}.py").read_text(encoding="utf-8").splitlines())


def test_the_walk_is_read_in_an_evening():
    found = {module: lines(module) for module in EVENING}
    assert max(found.values()) <= 210, found
    assert sum(found.values()) <= 1200, (sum(found.values()), found)
    assert sum(found[module] for module in IMAGE_TOWER) < 350


def test_the_readme_gives_the_order_and_the_lines():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    places = [text.index(f"| `{module}.py` |") for module in EVENING]
    assert places == sorted(places)
    for module in EVENING:
        assert f"`{module}.py` | {lines(module)} |" in text, module


def imports(module: str) -> set[str]:
    """The modules of this package that a module names anywhere, also within functions."""
    path = PACKAGE.parent / f"{module.replace('.', '/')}.py"
    path = path if path.exists() else path.with_suffix("") / "__init__.py"
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{module}: say the package's name"
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {node.module} | (names & set(MODULES))
    return {name for name in found if name in MODULES} - {module, "siglip_lab"}


def test_no_circle():
    """Also none through the `__init__` of a folder, which every module in it runs first."""
    above = {module: set() for module in MODULES}
    for module in MODULES:
        for name in imports(module):
            parts = name.split(".")
            runs = {".".join(parts[:n]) for n in range(2, len(parts) + 1)}
            above[module] |= {r for r in runs if not f"{module}.".startswith(f"{r}.")}
    done: set[str] = set()

    def climb(module: str, way: tuple[str, ...]) -> None:
        assert module not in way, " -> ".join([*way[way.index(module) :], module])
        if module not in done:
            for name in sorted(above[module]):
                climb(name, (*way, module))
            done.add(module)

    for module in MODULES:
        if module != "siglip_lab":
            climb(module, ())


def test_the_walk_knows_nothing_of_the_wings():
    for module in EVENING:
        for name in imports(f"siglip_lab.{module}"):
            room = name.split(".")[1]
            assert room in GROUND or room in EVENING, f"{module} imports {name}"
            if room in EVENING:
                assert EVENING.index(room) < EVENING.index(module), f"{module} imports {name}"


@pytest.mark.slow
@pytest.mark.parametrize("module", MODULES)
def test_every_module_imports_alone(module):
    code = f"import {module}"
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr


def test_no_function_bears_its_modules_name():
    for module in MODULES:
        path = PACKAGE.parent / f"{module.replace('.', '/')}.py"
        if path.exists():
            tree = ast.parse(path.read_text(encoding="utf-8"))
            names = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
            assert path.stem not in names, module


@pytest.mark.parametrize("module", [m for m in MODULES if "cli" not in m.split(".")[-1]])
def test_what_has_no_underscore_is_announced(module):
    path = PACKAGE.parent / f"{module.replace('.', '/')}.py"
    if not path.exists():
        return
    tree = ast.parse(path.read_text(encoding="utf-8"))
    kinds = (ast.FunctionDef, ast.ClassDef)
    public = {node.name for node in tree.body if isinstance(node, kinds)}
    public = {name for name in public if not name.startswith("_")}
    announced: set[str] = set()
    for node in tree.body:
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "__all__":
            announced = set(ast.literal_eval(node.value))
    assert public <= announced, sorted(public - announced)


# ---- what the chapters write is what the library has ---------------------------------------------


class Bare(ast.NodeTransformer):
    """Code without docstrings, annotations, and the first lines that only check."""

    def visit_FunctionDef(self, node):
        self.generic_visit(node)
        node.returns = None
        for argument in node.args.args:
            argument.annotation = None
        node.body = self.without_words(node.body)
        return node

    def visit_ClassDef(self, node):
        """Where a tower is loaded from is no part of it: `Pretrained`, and its `format`."""
        self.generic_visit(node)
        if [ast.unparse(base) for base in node.bases] == ["Pretrained"]:
            node.bases = [ast.parse("nn.Module").body[0].value]
            node.body = [line for line in node.body if not isinstance(line, ast.Assign)]
        node.body = self.without_words(node.body)
        return node

    def visit_AnnAssign(self, node):
        node.annotation = ast.Name("any")
        return node

    def without_words(self, body):
        return [line for line in body if not (isinstance(line, ast.Expr) and self.only(line.value))]

    def only(self, value) -> bool:
        """A docstring, or a call that checks or draws the weights."""
        called = getattr(getattr(value, "func", None), "id", "")
        return isinstance(value, ast.Constant) or called.startswith(("check_", "init_"))


def definitions(source: str) -> dict[str, str]:
    tree = Bare().visit(ast.parse(source))
    kinds = (ast.FunctionDef, ast.ClassDef)
    return {node.name: ast.unparse(node) for node in tree.body if isinstance(node, kinds)}


def build_cells() -> list[tuple[str, str]]:
    cells = []
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        for cell in nbformat.read(path, 4).cells:
            if "build" in cell.metadata.get("tags", []):
                cells.append((path.stem, cell.source))
    return cells


def test_build_cells_are_the_librarys_code():
    library: dict[str, str] = {}
    for module in EVENING:
        library |= definitions((PACKAGE / f"{module}.py").read_text(encoding="utf-8"))
    cells = build_cells()
    assert len(cells) >= 9
    for chapter, source in cells:
        for name, code in definitions(source).items():
            assert code == library.get(name), f"{chapter}: {name}\n{code}\n{library.get(name)}"
