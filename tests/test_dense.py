"""The dense twin itself, against unmodified models: what the laws are held against."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from tests import checkpoints, dense
from tests.conformance import added_mask, load_plain, plain_inputs
from tests.streams import worst

FAMILIES = sorted(checkpoints.FAMILIES)
TOLERANCE = {torch.float32: 1e-5}  # hidden states of size 5


@pytest.fixture(scope="module", params=FAMILIES)
def decoder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("plain") / request.param
    return load_plain(checkpoints.write(request.param, folder)).get_decoder()


@pytest.fixture
def parts(decoder: Any) -> list[dense.Part]:
    """Words, three pictures, words."""
    generator = torch.Generator().manual_seed(3)
    width, config = decoder.config.hidden_size, decoder.config
    axes = 3 if config.rope_parameters.get("mrope_section") else 1
    levels = 3 if config.model_type == "qwen3_vl_text" else 0

    def drawn(tokens: int) -> torch.Tensor:
        return torch.randn(tokens, width, generator=generator)

    def words(tokens: int) -> dense.Part:
        return dense.Part(drawn(tokens), torch.arange(tokens).expand(axes, -1))

    def picture() -> dense.Part:
        """Two words and a grid of 2 x 3 behind them."""
        rows, columns = (
            x.flatten() + 2 for x in torch.meshgrid(torch.arange(2), torch.arange(3), indexing="ij")
        )
        grid = torch.stack([torch.full((6,), 2), rows, columns])
        offsets = torch.arange(8)[None]
        if axes == 3:
            offsets = torch.cat([torch.arange(2).expand(3, -1), grid], 1)
        visual = torch.arange(8) > 1
        deepstack = [drawn(6) for _ in range(levels)]
        return dense.Part(drawn(8), offsets, visual if levels else None, deepstack)

    return [words(5), picture(), picture(), picture(), words(4)]


def all_before(_layer: int, part: int) -> range:
    return range(part)


@torch.no_grad()
def test_parts_that_see_all_before_are_the_plain_model(
    decoder: Any, parts: list[dense.Part]
) -> None:
    tokens = sum(len(part.embeds) for part in parts)
    mask = added_mask(torch.ones(tokens, tokens).tril() > 0)
    plain = decoder(use_cache=False, attention_mask=mask, **plain_inputs(parts))[0][0]
    ours = torch.cat(dense.run(decoder, parts, all_before))
    assert worst(ours, plain) <= TOLERANCE[torch.float32]


@torch.no_grad()
def test_a_view_of_part_of_the_past_is_the_plain_model_under_a_mask(
    decoder: Any, parts: list[dense.Part]
) -> None:
    """The second picture does not see the first; every token keeps its place."""
    places = dense.contiguous(parts)
    lengths = [len(part.embeds) for part in parts]
    starts = [sum(lengths[:i]) for i in range(len(parts))]
    seen = {0: [], 1: [0], 2: [0], 3: [0, 1, 2], 4: [0, 1, 2, 3]}

    def sees(_layer: int, part: int) -> dense.View:
        context = [*seen[part], part]
        slots = torch.cat([torch.arange(starts[i], starts[i] + lengths[i]) for i in context])
        return dense.View(seen[part], places[:, slots])

    visible = torch.ones(sum(lengths), sum(lengths)).tril() > 0
    visible[starts[2] : starts[3], starts[1] : starts[2]] = False
    mask = added_mask(visible)
    plain = decoder(use_cache=False, attention_mask=mask, **plain_inputs(parts))[0][0]
    ours = torch.cat(dense.run(decoder, parts, sees))
    assert worst(ours, plain) <= TOLERANCE[torch.float32]


@torch.no_grad()
@pytest.mark.parametrize("shift", [0, 11])
def test_a_view_that_is_spelt_out_is_the_one_that_is_left_out(
    decoder: Any, parts: list[dense.Part], shift: int
) -> None:
    """Queries toward each key and keys may move together: only distances count."""

    def sees(_layer: int, part: int) -> dense.View:
        places = dense.contiguous(parts[: part + 1])
        total, new = places.shape[1], len(parts[part].embeds)
        toward = places[:, -new:, None].expand(-1, -1, total)
        visible = torch.ones(new, total, dtype=torch.bool).tril(total - new)
        return dense.View(range(part), places + shift, toward + shift, visible)

    plain = dense.run(decoder, parts, all_before)
    spelt = dense.run(decoder, parts, sees)
    assert worst(torch.cat(spelt), torch.cat(plain)) <= TOLERANCE[torch.float32]


@torch.no_grad()
def test_a_query_may_stand_elsewhere_toward_some_keys(
    decoder: Any, parts: list[dense.Part]
) -> None:
    """A view whose queries stand farther from the first part alone changes what comes out."""

    def sees(_layer: int, part: int) -> dense.View:
        places = dense.contiguous(parts[: part + 1])
        total, new = places.shape[1], len(parts[part].embeds)
        toward = places[:, -new:, None].repeat(1, 1, total)
        if part:
            toward[:, :, : len(parts[0].embeds)] += 7
        return dense.View(range(part), places, toward)

    plain = dense.run(decoder, parts, all_before)
    moved = dense.run(decoder, parts, sees)
    assert worst(moved[0], plain[0]) <= TOLERANCE[torch.float32]
    assert worst(moved[-1], plain[-1]) > 1e-2
