"""A few latents in place of a video: by hand, blind to padding and to the order of what they look at."""

from __future__ import annotations

import math

import torch

from pseudocap.model.resampler import Resampler, ResamplerLayer

WIDTH = 6


def test_a_layer_equals_a_naive_loop() -> None:
    layer = ResamplerLayer(width=WIDTH, feed_forward=False, heads=2, head_width=3)
    latents, features = torch.randn(2, WIDTH), torch.randn(5, WIDTH)
    normed = layer.norm_latents(latents)
    both = torch.cat((layer.norm_features(features), normed))
    q = normed @ layer.query.weight.T
    k, v = (both @ layer.key_value.weight.T).chunk(2, dim=-1)
    seen = torch.zeros_like(q)
    for latent in range(2):
        for head in (slice(0, 3), slice(3, 6)):
            weights = torch.stack([q[latent, head] @ key[head] / math.sqrt(3) for key in k]).softmax(dim=0)
            seen[latent, head] = sum(weight * value[head] for weight, value in zip(weights, v, strict=True))
    expected = latents + seen @ layer.out.weight.T
    torch.testing.assert_close(layer(latents[None], features[None])[0], expected, atol=1e-5, rtol=1e-5)


def test_what_the_mask_hides_adds_nothing() -> None:
    resampler = Resampler(width=WIDTH, latents=3, depth=2)
    features = torch.randn(2, 7, WIDTH)
    mask = torch.ones(2, 7, dtype=torch.bool)
    mask[0, 4:] = False
    features[0, 4:] = 50.0
    latents = resampler(features, mask)
    torch.testing.assert_close(latents[:1], resampler(features[:1, :4]), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(latents[1:], resampler(features[1:]), atol=1e-5, rtol=1e-5)
    assert (latents[:1] - resampler(features[:1])).abs().max() > 1e-3  # the law would notice


def test_latents_are_as_many_for_any_video_and_take_it_in_any_order() -> None:
    resampler = Resampler(width=WIDTH, latents=3, depth=2)
    features = torch.randn(1, 9, WIDTH)
    assert resampler(features).shape == resampler(features[:, :1]).shape == (1, 3, WIDTH)
    torch.testing.assert_close(resampler(features.flip(1)), resampler(features), atol=1e-5, rtol=1e-5)
