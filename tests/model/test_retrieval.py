"""The similarities of retrieval, against loops that read as the equations."""

from __future__ import annotations

import math

import pytest
import torch

from pseudocap.errors import InputError
from pseudocap.memory import Axis
from pseudocap.model.retrieval import Embedded, fine_similarity, in_blocks


def naive(text: list, media: list, text_weights: list, media_weights: list) -> float:
    """VALOR's equation 3 of one text and one clip, vector by vector; what is masked is not in the lists."""

    def unit(vector: list[float]) -> list[float]:
        norm = math.sqrt(sum(value**2 for value in vector))
        return [value / norm for value in vector]

    def shares(weights: list[float]) -> list[float]:
        total = sum(math.exp(weight) for weight in weights)
        return [math.exp(weight) / total for weight in weights]

    def dot(one: list[float], two: list[float]) -> float:
        return sum(a * b for a, b in zip(unit(one), unit(two), strict=True))

    of_text = sum(w * max(dot(t, m) for m in media) for w, t in zip(shares(text_weights), text, strict=True))
    of_media = sum(w * max(dot(t, m) for t in text) for w, m in zip(shares(media_weights), media, strict=True))
    return 0.5 * of_text + 0.5 * of_media


@pytest.mark.parametrize("sign", [1.0, -1.0], ids=["any", "negative"])
def test_fine_similarity_equals_a_naive_loop_with_masks(sign: float) -> None:
    generator = torch.Generator().manual_seed(3)
    A, N, B, M, C = 3, 4, 2, 5, 6
    text, media = torch.randn(A, N, C, generator=generator), torch.randn(B, M, C, generator=generator)
    if sign < 0:  # every dot product is negative, where a product with a mask of zeros would win each maximum
        text, media = text.abs(), -media.abs()
    text_weights, media_weights = torch.randn(A, N, generator=generator), torch.randn(B, M, generator=generator)
    text_mask, media_mask = torch.ones(A, N, dtype=torch.bool), torch.ones(B, M, dtype=torch.bool)
    text_mask[0, 2:], text_mask[1, 0], media_mask[1, 1:4] = False, False, False
    found = fine_similarity(
        text, media, text_weights=text_weights, media_weights=media_weights, text_mask=text_mask, media_mask=media_mask
    )
    for a in range(A):
        for b in range(B):
            t, m = text_mask[a], media_mask[b]
            rows = [part.tolist() for part in (text[a][t], media[b][m], text_weights[a][t], media_weights[b][m])]
            assert float(found[a, b]) == pytest.approx(naive(*rows), abs=1e-6)
    if sign < 0:
        assert bool((found < -0.05).all())
    text[~text_mask], media[~media_mask], text_weights[~text_mask] = 50.0, 60.0, 70.0
    again = fine_similarity(
        text, media, text_weights=text_weights, media_weights=media_weights, text_mask=text_mask, media_mask=media_mask
    )
    torch.testing.assert_close(again, found)


def test_fine_similarity_of_what_has_no_vector_is_zero_and_has_gradients() -> None:
    text, media = torch.randn(2, 3, 4, requires_grad=True), torch.randn(2, 3, 4)
    mask = torch.tensor([[True] * 3, [False] * 3])
    weights = {"text_weights": torch.zeros(2, 3), "media_weights": torch.zeros(2, 3)}
    found = fine_similarity(text, media, **weights, text_mask=mask, media_mask=mask)
    assert found[0, 0] != 0
    assert found[1].tolist() == [0, 0]
    assert found[0, 1] == 0
    found.sum().backward()
    assert text.grad is not None
    assert bool(text.grad.isfinite().all())
    with pytest.raises(InputError, match="text must be"):
        fine_similarity(text[0], media, **weights)


@pytest.mark.parametrize("grid", [(6, 6), (4, 7)], ids=["even", "uneven"])
def test_blocks_are_the_means_of_their_real_patches(grid: tuple[int, int]) -> None:
    rows, columns = grid
    generator = torch.Generator().manual_seed(5)
    patches = torch.randn(2, rows * columns, 3, generator=generator)
    mask = torch.rand(2, rows * columns, generator=generator) > 0.3
    mask[0, [row * columns + column for row in range(rows // 2) for column in range((columns + 1) // 2)]] = False
    found = in_blocks(Axis(patches, mask), grid, 2)
    for clip in range(2):
        sums: dict[int, list[torch.Tensor]] = {0: [], 1: [], 2: [], 3: []}
        for patch in range(rows * columns):
            row, column = divmod(patch, columns)
            if mask[clip, patch]:
                sums[2 * (row * 2 // rows) + column * 2 // columns].append(patches[clip, patch])
        for block, members in sums.items():
            assert bool(found.mask[clip, block]) == bool(members)
            if members:
                torch.testing.assert_close(found.vectors[clip, block], torch.stack(members).mean(dim=0))
    assert not found.mask[0, 0], "of which nothing is real"


def test_one_vector_each_is_the_dot_product() -> None:
    text, media = (torch.nn.functional.normalize(torch.randn(n, 1, 5), dim=-1) for n in (3, 4))
    found = fine_similarity(text, media, text_weights=torch.randn(3, 1), media_weights=torch.randn(4, 1))
    torch.testing.assert_close(found, text[:, 0] @ media[:, 0].T)


def test_joined_batches_keep_their_vectors() -> None:
    parts = [Embedded(torch.randn(2, n, 3), torch.ones(2, n, dtype=torch.bool), torch.randn(2, n)) for n in (2, 4)]
    joined = Embedded.joined(parts)
    assert joined.mask.sum(dim=1).tolist() == [2, 2, 4, 4]
    torch.testing.assert_close(joined.pooled, torch.cat([part.pooled for part in parts]))
