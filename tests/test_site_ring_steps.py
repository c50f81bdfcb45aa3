"""The figure to touch of the chapter "The loss at scale", against texts that the library moves."""

import pytest
import ranks
import torch
import torch.distributed as dist

import siglip_lab as sl

pytestmark = [pytest.mark.site, pytest.mark.browser]

PAGE = "notebooks/09_loss_at_scale.html"
READY = "siglip-ring-steps td.rs-now"


def sources(rank):
    """The ranks from which this one receives while it computes the loss."""
    met = set()

    class Spy(dist.P2POp):
        def __new__(cls, op, tensor, peer, *rest):
            if op is dist.irecv:
                met.add(peer)
            return super().__new__(cls, op, tensor, peer, *rest)

    dist.P2POp = Spy
    x = torch.eye(2)
    sl.distributed_sigmoid_loss(x, x, torch.tensor(2.0), torch.tensor(-10.0))
    return met


def owners_by_step(world):
    """Whose texts each rank holds in each step, and after the last: [rank][step]."""
    before = [source for (source,) in ranks.run(world, sources)]
    now, found = list(range(world)), []
    for _ in range(world + 1):
        found.append(now)
        now = [now[source] for source in before]
    return [list(steps) for steps in zip(*found, strict=True)]


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
    truth = owners_by_step(world)
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
