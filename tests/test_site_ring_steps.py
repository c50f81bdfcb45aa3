"""The figure to touch of the chapter "The loss at scale", against texts that the library moves."""

import pytest
import ranks
import torch
import torch.distributed as dist

from siglip_lab.losses import _pass_on

pytestmark = [pytest.mark.site, pytest.mark.browser]

PAGE = "notebooks/09_loss_at_scale.html"
READY = "siglip-ring-steps td.rs-now"


def owners_by_step(rank):
    """Whose texts this rank holds in each step, and after the last."""
    texts, found = torch.tensor([rank]), []
    for _ in range(dist.get_world_size() + 1):
        found.append(texts.item())
        texts = _pass_on(texts, None)
    return found


def move_to(page, step):
    page.locator("siglip-ring-steps input[name=step]").evaluate(
        "(e, v) => { e.value = v; e.dispatchEvent(new Event('input', {bubbles: true})); }", step
    )


def holders(page):
    return [int(text.split()[-1]) for text in page.locator(".rs-texts").all_inner_texts()]


def blocks(page, kind):
    """(rank, owner of the texts) of the cells of a kind, and what is written in them."""
    return page.evaluate(
        """(kind) => [...document.querySelectorAll("siglip-ring-steps tbody tr")]
        .flatMap((row, i) =>
        [...row.querySelectorAll("td")].map((cell, j) => [i, j, cell])
        .filter(([, , cell]) => cell.className === kind)
        .map(([i, j, cell]) => [i, j, cell.textContent]))""",
        kind,
    )


@pytest.mark.parametrize("world", [2, 4, 8])
def test_texts_are_where_the_library_has_them(page, world):
    page.get_by_role("button", name=f"{world} ranks").click()
    truth = ranks.run(world, owners_by_step)  # [rank][step]
    done = []
    for step in range(world + 1):
        move_to(page, step)
        now = [truth[rank][step] for rank in range(world)]
        assert holders(page) == now
        scored = [] if step == world else [[rank, now[rank], str(step)] for rank in range(world)]
        assert sorted(blocks(page, "rs-now")) == scored
        assert sorted(blocks(page, "rs-done")) == sorted(done)
        assert len(blocks(page, "rs-open")) == world**2 - len(done) - len(scored)
        done += scored
        met = [rank for rank in range(world) if now[0] in truth[rank][: step + 1]]
        said = page.locator(".rs-readout").inner_text()
        if step < world:
            assert f"texts of rank {now[0]}" in said and f"{len(done)} of {world**2} blocks" in said
            shares = said.split("shares of rank")[1].replace("and", ",").strip("s. ")
            assert [int(rank) for rank in shares.split(",")] == met
        else:
            assert f"all {world} ranks" in said
    assert holders(page) == list(range(world))


def test_keyboard_moves_the_ring(page):
    page.locator("siglip-ring-steps input[name=step]").focus()
    page.keyboard.press("ArrowRight")
    assert holders(page) == [3, 0, 1, 2]
    page.keyboard.press("End")
    assert "home" in page.locator("siglip-ring-steps output").inner_text()
    page.get_by_role("button", name="2 ranks").focus()
    page.keyboard.press("Enter")
    assert holders(page) == [0, 1]


def test_nothing_is_wider_than_a_phone(phone):
    phone.get_by_role("button", name="8 ranks").click()
    frame = phone.locator("siglip-ring-steps").bounding_box()
    table = phone.locator("siglip-ring-steps table").bounding_box()
    assert table["x"] + table["width"] <= frame["x"] + frame["width"] <= 390


def test_a_table_stays_for_readers_without_scripts(without_scripts):
    assert "step 3" in without_scripts.locator("siglip-ring-steps").inner_text()
