"""Compute what retrieval learns from the similarities of a batch. Pure functions.

A pair of a text and a clip is positive where they belong together and negative where they do not. What is
neither (another caption of the same video) counts for nothing. Every loss is a mean over the positive pairs, of both
directions: the clip among all clips of its text, and the text among all texts of its clip.

Legend: A texts, B clips.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from pseudocap.errors import ConfigError, nearest


def nce(scores_AB: torch.Tensor, positive_AB: torch.Tensor, negative_AB: torch.Tensor) -> torch.Tensor:
    """Sum the cross-entropies of both directions, of similarities that are divided by their temperature already."""
    denied_AB = scores_AB.masked_fill(~negative_AB, -torch.inf)
    rows_AB, columns_AB = (torch.logaddexp(scores_AB, denied_AB.logsumexp(dim=side, keepdim=True)) for side in (1, 0))
    return (rows_AB + columns_AB - 2 * scores_AB)[positive_AB].mean()


def joint_nce(scores_AB: torch.Tensor, positive_AB: torch.Tensor, negative_AB: torch.Tensor) -> torch.Tensor:
    """Take negatives of both directions into one denominator (thesis, 6.5)."""
    denied_AB = scores_AB.masked_fill(~negative_AB, -torch.inf)
    rows_A1, columns_1B = (denied_AB.logsumexp(dim=side, keepdim=True) for side in (1, 0))
    losses_AB = torch.logaddexp(scores_AB, torch.logaddexp(rows_A1, columns_1B)) - scores_AB
    return losses_AB[positive_AB].mean()


def hard_triplet(
    scores_AB: torch.Tensor, positive_AB: torch.Tensor, negative_AB: torch.Tensor, *, margin: float
) -> torch.Tensor:
    """Demand that a pair is more similar by `margin` than its text or clip is in the worst negative pair."""
    denied_AB = scores_AB.masked_fill(~negative_AB, -torch.inf)
    rows_AB, columns_AB = (
        (margin - scores_AB + denied_AB.amax(dim=side, keepdim=True)).clamp(min=0) for side in (1, 0)
    )
    return (rows_AB + columns_AB)[positive_AB].mean()


LOSSES = ("nce", "joint", "triplet")


@dataclass(frozen=True, kw_only=True)  # no slots: jsonargparse reads the defaults from __dict__
class Contrast:
    """Set what retrieval learns.

    Args:
        loss: nce (both ways), joint (one denominator for both), or triplet (the hardest negative of each way)
        margin: of the triplet
        mask: the share of a memory's vectors and of a text's tokens that a step leaves out
        intra: the weight of telling a text, and a clip, from others by itself with other parts left out (thesis, 6.3.3)
        cross: the weight of telling apart two captions that are each joined with their video; needs a retriever with
            cross: true, and data with captions: 2
    """

    loss: str = "nce"
    margin: float = 0.2
    mask: float = 0.05
    intra: float = 0.0
    cross: float = 0.0

    def __post_init__(self) -> None:
        if self.loss not in LOSSES:
            raise ConfigError(f"contrast.loss must be one of {', '.join(LOSSES)}, not {self.loss!r}"
                              f"{nearest(str(self.loss), LOSSES)}")  # fmt: skip
        if not 0 <= self.mask < 1:
            raise ConfigError(f"contrast.mask must be from 0 to below 1, not {self.mask!r}")
        for name in ("margin", "intra", "cross"):
            if not getattr(self, name) >= 0:
                raise ConfigError(f"contrast.{name} must be 0 or more, not {getattr(self, name)!r}")

    def __call__(
        self,
        similarity_AB: torch.Tensor,
        positive_AB: torch.Tensor,
        negative_AB: torch.Tensor,
        temperature: torch.Tensor | float,
    ) -> torch.Tensor:
        """Compute the loss of similarities; a triplet has a margin in place of a temperature."""
        if self.loss == "triplet":
            return hard_triplet(similarity_AB, positive_AB, negative_AB, margin=self.margin)
        each = nce if self.loss == "nce" else joint_nce
        return each(similarity_AB / temperature, positive_AB, negative_AB)


def left_out(mask_BN: torch.Tensor, share: float, generator: torch.Generator) -> torch.Tensor:
    """Return the mask without a share of what is real, drawn from the generator alone; something of each row stays."""
    if share == 0:
        return mask_BN
    drawn_BN = torch.rand(mask_BN.shape, generator=generator).to(mask_BN.device)
    kept_BN = mask_BN & (drawn_BN >= share)
    return torch.where(kept_BN.any(dim=1, keepdim=True), kept_BN, mask_BN)
