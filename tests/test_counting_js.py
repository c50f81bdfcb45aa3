"""The pages' sums against the library's, to the digit: in node, or else in the browser."""

import json
import shutil
import subprocess
from dataclasses import asdict, replace
from itertools import product

import pytest

from siglip_lab import clip, counting, published, siglip2

MODELS = {name: published.get_config(name) for version in (1, 2)
          for name in published.list_models(version)}  # fmt: skip
MODELS["odd"] = replace(
    MODELS["tiny"], vision=replace(MODELS["tiny"].vision, image_size=53, patch_size=7, depth=1)
)
CLIPS = {name: clip.get_config(name) for name in clip.list_models() if name.startswith("ViT")}

GRIDS = [
    [h, w, budget]
    for h, w in product([1, 48, 100, 333, 1754, 4000], repeat=2)
    for budget in (1, 100, 256, 1024)
]

ASK = """
const answer = {};
for (const [name, config] of Object.entries(MODELS)) {
  answer[name] = {
    tokens: numPatches(config.vision),
    parameters: countParameters(config),
    flops: countFlops(config),
    totals: [total(countParameters(config)), total(countFlops(config))],
    training: visionTrainingFlops(config.vision),
  };
}
for (const [name, config] of Object.entries(CLIPS)) answer[name] = countClipParameters(config);
answer.naflex = GRIDS.map(([high, wide, budget]) => targetGrid(high, wide, 16, budget) ?? null);
answer.flops = Object.values(NAFLEX).map(({ vision }) => naflexFlops(vision, 576));
"""


@pytest.fixture(scope="module")
def answers(root, request):
    script = (root / "book/_static/js/counting.js").read_text()
    naflex = {name: siglip2.get_config(name) for name in siglip2.list_models()}
    for kind, models in (("MODELS", MODELS), ("CLIPS", CLIPS), ("NAFLEX", naflex)):
        shapes = {k: asdict(v) for k, v in models.items()}
        script += f"const {kind} = {json.dumps(shapes)};\n"
    script += f"const GRIDS = {GRIDS};\n" + ASK
    if node := shutil.which("node"):
        script += "console.log(JSON.stringify(answer));"
        command = [node, "--input-type=module"]
        run = subprocess.run(command, input=script, capture_output=True, text=True, check=True)
        return json.loads(run.stdout)
    page = request.getfixturevalue("browser").new_page()
    page.add_script_tag(type="module", content=script + "globalThis.answer = answer;")
    page.wait_for_function("globalThis.answer")
    return page.evaluate("answer")


def plain(count):
    """A count as the pages have it: a number, or its parts."""
    return {part.name: plain(part) for part in count} if count.parts else count.total


def ordered(content):
    """Dicts are equal in any order; the pages draw parts in theirs."""
    return json.dumps(content, indent=0)


@pytest.mark.parametrize("name", MODELS)
def test_the_pages_count_a_siglip_as_the_library_does(answers, name):
    config, answer = MODELS[name], answers[name]
    parameters, flops = counting.count_parameters(config), counting.count_flops(config)
    assert answer["tokens"] == config.vision.num_patches
    assert ordered(answer["parameters"]) == ordered(plain(parameters))
    assert ordered(answer["flops"]) == ordered(plain(flops))
    assert answer["totals"] == [parameters.total, flops.total]
    training = counting.count_flops(config, texts=0, training=True)
    assert answer["training"] == training.total


@pytest.mark.parametrize("name", CLIPS)
def test_the_pages_count_a_clip_as_the_library_does(answers, name):
    assert ordered(answers[name]) == ordered(plain(clip.count_parameters(CLIPS[name])))


def test_grids_of_naflex_are_the_librarys(answers):
    for (height, width, budget), found in zip(GRIDS, answers["naflex"], strict=True):
        try:
            size = siglip2.target_size(height, width, 16, budget)
        except ValueError:
            assert found is None
        else:
            assert found == [side // 16 for side in size]


def test_flops_of_naflex_are_the_librarys(answers):
    for name, found in zip(siglip2.list_models(), answers["flops"], strict=True):
        count = siglip2.count_flops(siglip2.get_config(name), 576, texts=0).vision
        assert ordered(found) == ordered(plain(count))
