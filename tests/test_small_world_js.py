"""The small world's training in the page against PyTorch: gradients, AdamW, runs, seeds."""

import json
import math
import shutil
import subprocess

import pytest
import torch
from torch.nn.functional import logsigmoid, normalize

from siglip_lab.losses import clip_loss, sigmoid_loss

LOSSES = {
    "sigmoid": sigmoid_loss,
    "softmax": lambda x, y, log_t, b: clip_loss(x, y, log_t),
    "diagonal": lambda x, y, log_t, b: -logsigmoid((x * y).sum(1) * log_t.exp() + b).mean(),
}


@pytest.fixture(scope="module")
def ask(book_site, request):
    """Run JavaScript that ends with `answer = ...` after the module, and return the answer."""
    module = book_site.one_script("small-world-training")

    def run(script, **given):
        names = "".join(f"const {name} = {json.dumps(value)};\n" for name, value in given.items())
        script = f"{module}\nlet answer;\n{names}{script};\n"
        if node := shutil.which("node"):
            script += "console.log(JSON.stringify(answer));"
            command = [node, "--input-type=module"]
            run = subprocess.run(command, input=script, capture_output=True, text=True, check=True)
            return json.loads(run.stdout)
        page = request.getfixturevalue("browser").new_page()
        page.add_script_tag(type="module", content=script + "globalThis.answer = answer;")
        page.wait_for_function("globalThis.answer")
        answer = page.evaluate("JSON.stringify(answer)")
        page.close()
        return json.loads(answer)

    return run


def random(*shape):
    return torch.randn(shape, dtype=torch.float64)


def tower():
    first, last = torch.nn.Linear(32, 64), torch.nn.Linear(64, 16)
    return torch.nn.Sequential(first, torch.nn.Tanh(), last).double()


def start(t, b):
    """Two towers and [log t, b]; and their numbers, as the page keeps them."""
    torch.manual_seed(0)
    image, text = tower(), tower()
    scalars = torch.tensor([math.log(t), b], dtype=torch.float64).requires_grad_()
    weights = [*image.parameters(), *text.parameters(), scalars]
    numbers = [weight.detach().flatten().tolist() for weight in weights]
    return image, text, scalars, weights, numbers


MODEL = """
const floats = (values) => Float64Array.from(values);
const weights = NUMBERS.map(floats);
const model = { image: weights.slice(0, 4), text: weights.slice(4, 8), scalars: weights[8] };
"""


@pytest.mark.parametrize("kind", LOSSES)
@pytest.mark.parametrize(("t", "b"), [(10.0, -10.0), (10.0, 0.0), (118.2, -12.66)])
def test_loss_and_gradients_are_those_of_autograd(ask, kind, t, b):
    image, text, scalars, weights, numbers = start(t, b)
    photos, captions = random(24, 32) + 2, random(24, 32) - 2
    x, y = normalize(image(photos)), normalize(text(captions))
    loss = LOSSES[kind](x, y, *scalars)
    loss.backward()
    answer = ask(
        MODEL
        + """
        const found = lossAndGradients(model, floats(PHOTOS), floats(CAPTIONS), KIND);
        answer = { ...found, gradients: found.gradients.map((each) => [...each]) }
        """,
        NUMBERS=numbers,
        PHOTOS=photos.flatten().tolist(),
        CAPTIONS=captions.flatten().tolist(),
        KIND=kind,
    )
    assert answer["loss"] == pytest.approx(loss.item(), rel=1e-10)
    for weight, gradient in zip(weights, answer["gradients"], strict=True):
        ours = torch.tensor(gradient, dtype=torch.float64).reshape(weight.shape)
        assert (ours - weight.grad).norm() <= 1e-9 * weight.grad.norm() + 1e-14
    assert answer["gradients"][8][0] != 0
    assert (answer["gradients"][8][1] == 0) == (kind == "softmax")


@pytest.mark.parametrize(("kind", "b"), [("sigmoid", -10.0), ("sigmoid", 0.0), ("softmax", -10.0),
                                         ("diagonal", -10.0)])  # fmt: skip
def test_a_hundred_steps_end_where_pytorch_ends(ask, one_thread, kind, b):
    image, text, scalars, weights, numbers = start(10.0, b)
    ideas = random(1280, 8)
    world = [
        ideas @ random(8, 32) + random(1280, 32) / 2 + shift for shift in (2, -2)
    ]  # as the chapter makes it
    batches = [torch.randperm(1024)[:256] for _ in range(100)]
    optimizer = torch.optim.AdamW(weights, lr=0.01, betas=(0.9, 0.95))
    for rows in batches:
        x, y = normalize(image(world[0][rows])), normalize(text(world[1][rows]))
        optimizer.zero_grad()
        LOSSES[kind](x, y, *scalars).backward()
        optimizer.step()
    answer = ask(
        MODEL
        + """
        const training = new Training({ loss: KIND, bias: 0, seed: 0 });
        const heldOut = range(256).map((i) => 1024 + i);
        [training.photos, training.captions] = WORLD.map(floats);
        training.test = [training.photos, training.captions].map((m) => rowsOf(m, heldOut));
        training.model = model;
        training.optimizer = new AdamW(weights);
        BATCHES.forEach((rows) => training.step(rows));
        answer = { ...training.look(), cosines: 0, weights: weights.map((each) => [...each]) }
        """,
        NUMBERS=numbers,
        WORLD=[side.flatten().tolist() for side in world],
        BATCHES=[rows.tolist() for rows in batches],
        KIND=kind,
    )
    for weight, found in zip(weights, answer["weights"], strict=True):
        ours = torch.tensor(found, dtype=torch.float64).reshape(weight.shape)
        assert (ours - weight).abs().max() < 1e-6
    with torch.no_grad():
        x, y = normalize(image(world[0][1024:])), normalize(text(world[1][1024:]))
        cosines = x @ y.T
        yes = cosines * scalars[0].exp() + scalars[1] > 0
        loss = LOSSES[kind](x, y, *scalars).item()
    own = yes.diagonal().double().mean().item()
    best = (cosines.argmax(dim=1) == torch.arange(256)).double().mean().item()
    assert answer["loss"] == pytest.approx(loss, rel=1e-6)
    assert answer["own"] == pytest.approx(cosines.diagonal().mean().item(), abs=1e-6)
    others = (cosines.sum() - cosines.trace()).item() / (256 * 255)
    assert answer["others"] == pytest.approx(others, abs=1e-6)
    assert answer["best"] == pytest.approx(best, abs=1e-9)
    assert answer["yesToOwn"] == pytest.approx(own, abs=1e-9)
    assert answer["yesToOthers"] == pytest.approx((yes.sum().item() - 256 * own) / 256, abs=1e-9)


def test_a_seed_is_a_world(ask):
    """The same numbers wherever it runs; every weight of every seed is another."""
    answer = ask("""
        const begin = (seed) => new Training({ loss: "sigmoid", bias: -10, seed });
        const numbers = randomNumbers(0);
        const runs = [0, 0, 1].map((seed) => {
          const training = begin(seed);
          training.step();
          training.step();
          return [...training.model.image[0], training.look().loss];
        });
        answer = { first: range(3).map(numbers), runs, photo: [...begin(0).photos.slice(0, 3)] }
    """)
    assert answer["runs"][0] == answer["runs"][1]
    assert all(one != other for one, other in zip(*answer["runs"][1:], strict=True))
    # mulberry32 of seed 0; a browser's own logarithm and cosine may differ in the last bit.
    assert [value * 2**32 for value in answer["first"]] == [1144304738, 1416247, 958946056]
    assert answer["photo"] == pytest.approx(
        [1.5442960031634, -0.0908551144982, 0.5553244111770], abs=1e-9
    )


def test_the_world_has_the_spread_of_the_chapters(ask):
    world = ask("""
        const { photos, captions } = new Training({ loss: "sigmoid", bias: -10, seed: 2 });
        answer = [[...photos], [...captions]]
    """)
    photos, captions = (torch.tensor(side).reshape(1280, 32) for side in world)
    assert photos.mean() == pytest.approx(2, abs=0.15)
    assert captions.mean() == pytest.approx(-2, abs=0.15)
    for side in (photos, captions):
        # Each of the 8 numbers of an idea, mixed, and noise: 8 + 1/4.
        assert side.var(dim=0).mean() == pytest.approx(8.25, rel=0.2)
        strengths = torch.linalg.svdvals(side - side.mean(dim=0)) / math.sqrt(1280)
        assert (strengths > 1).sum() == 8
        assert strengths[8:].mean() == pytest.approx(0.5, abs=0.05)
