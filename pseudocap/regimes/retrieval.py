"""Train a retriever: captions and their clips come together in one space, all others of the batch apart.

VideoCC (4.1): NCE both ways at a temperature of 0.05, batch 256, SGD with momentum 0.9; the thesis (6.3.3): a joint
denominator, 5 % of tokens and of a film's vectors left out, and terms within each modality and across captions. From
stored memories (`pseudocap encode`) a step costs the towers alone.

The batch of all ranks is one: every rank gathers the vectors of all, through which gradients flow back to where they
came from, and computes the loss of all pairs. Averaging the gradients over ranks then gives those of one process with
the entire batch; the price is that each rank computes the similarities of all.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Mapping
from typing import Any

import lightning.pytorch as lightning
import numpy as np
import torch
from torch import distributed

from pseudocap.data.stream.resumable import of_all_ranks
from pseudocap.errors import ConfigError, InputError
from pseudocap.memory import Axis, Memory
from pseudocap.metrics.retrieval import CUTOFFS, RSUM, score_both_directions
from pseudocap.model.network import seeded
from pseudocap.model.retrieval import Embedded
from pseudocap.regimes.base import Learner
from pseudocap.regimes.losses import Losses
from pseudocap.regimes.optimisation import Optimisation
from pseudocap.regimes.retrieval_losses import Contrast, left_out
from pseudocap.regimes.table import RETRIEVAL
from pseudocap.regimes.validation import Validation
from pseudocap.retriever import Retriever
from pseudocap.types import Batch


class Retrieval(Learner):
    """Learn from `StreamData` or `CaptionData`: captions and their images or clips, or memories of them.

    Args:
        model: the retriever: pseudocap.regimes.networks.retriever_from_backbones, or retriever_from_pretrained there
        optimisation: the optimiser and its schedule
        contrast: what is learned from the similarities of a batch
        seed: of dropout, of what is left out and of the groups; order and crops have the data's own
        modality_groups: of a retriever that hears, how often a step learns by sight and hearing (av), by sight alone
            (v) and by hearing alone (a); null is all that each video has
    """

    steps = RETRIEVAL.steps
    monitor = f"val/{RSUM}"
    model: Retriever

    def __init__(
        self,
        model: Retriever,
        *,
        optimisation: Optimisation = Optimisation(),
        contrast: Contrast = Contrast(),
        seed: int = 0,
        modality_groups: Mapping[str, float] | None = None,
    ) -> None:
        super().__init__(model, optimisation=optimisation, seed=seed, modality_groups=modality_groups)
        self.contrast = contrast
        self.validation = RetrievalValidation(model)
        if contrast.cross and model.join is None:
            raise ConfigError("contrast.cross needs a retriever that was built with cross: true")
        if model.join is not None:
            model.join.requires_grad_(contrast.cross > 0)  # what no loss reaches must not be waited for by other ranks

    def training_step(self, batch: Batch, batch_index: int) -> torch.Tensor:
        draws, (memory, group) = self.draws_of(batch, batch_index), self.memory_to_learn(batch, batch_index)
        words, share = self.model.read(batch.captions), self.contrast.mask
        fewer_words = Axis(words.vectors, left_out(words.mask, share, draws))
        fewer_vectors = Memory(
            {name: Axis(axis.vectors, left_out(axis.mask, share, draws)) for name, axis in memory.axes.items()},
            memory.patches,
        )
        with seeded(int(torch.randint(2**62, (), generator=draws))):  # dropout
            texts = gathered(self.model.embed_states(fewer_words))
            media = gathered(self.model.embed_memory(fewer_vectors))
            complete = None
            if self.contrast.intra:
                complete = gathered(self.model.embed_states(words)), gathered(self.model.embed_memory(memory))
        videos_B = gathered_numbers([number_of(key) for key in batch.keys], self.device)
        videos_A = videos_B.repeat_interleave(len(texts) // len(media))
        temperature = self.model.temperature

        same_AB = videos_A[:, None] == videos_B
        total = self.contrast(self.model.score(texts, media), same_AB, ~same_AB, temperature)
        parts = {"inter": total}
        if complete is not None:
            for name, one, other, videos in zip(
                ("text", "media"), (texts, media), complete, (videos_A, videos_B), strict=True
            ):
                itself = torch.eye(len(one), dtype=torch.bool, device=self.device)
                loss = self.contrast(self.model.score(one, other), itself, videos[:, None] != videos, temperature)
                parts[f"intra-{name}"], total = loss, total + self.contrast.intra * loss
        if self.contrast.cross:
            first_BD, second_BD = self.joined(texts, media)
            same_BB = videos_B[:, None] == videos_B
            parts["cross"] = self.contrast(first_BD @ second_BD.T, same_BB, ~same_BB, temperature)
            total = total + self.contrast.cross * parts["cross"]
        self.log_losses(Losses(total=total, parts=parts, group=group), batch)
        self.log("train/temperature", float(torch.as_tensor(temperature).detach()), batch_size=len(batch))
        return total

    def joined(self, texts: Embedded, media: Embedded) -> tuple[torch.Tensor, torch.Tensor]:
        """Join the first caption of each clip with it, and the second one [B,D]."""
        each = len(texts) // len(media)
        if each < 2 or self.model.join is None:
            raise InputError("contrast.cross compares captions of one video, and the batch has one of each: give the "
                             "data captions: 2")  # fmt: skip
        texts_AD, media_BD = texts.pooled, media.pooled
        return self.model.join(texts_AD[0::each], media_BD), self.model.join(texts_AD[1::each], media_BD)


class GatheredRows(torch.autograd.Function):
    """Gather a tensor's rows from all ranks; a row's gradient is the sum of those that all ranks have of it.

    Not torch.distributed.nn's all_gather: on gloo (torch 2.15) tests/regimes/test_retrieval.py gets other gradients
    through it than one process has.
    """

    @staticmethod
    def forward(ctx: Any, rows: torch.Tensor) -> torch.Tensor:
        found = [torch.empty_like(rows) for _ in range(distributed.get_world_size())]
        distributed.all_gather(found, rows.contiguous())
        return torch.cat(found)

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> torch.Tensor:
        summed = gradient.clone(memory_format=torch.contiguous_format)
        distributed.all_reduce(summed)
        return summed.chunk(distributed.get_world_size())[distributed.get_rank()]


def number_of(key: str) -> int:
    """Return a number for a video's key, the same on every rank."""
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:8]) >> 1


def gathered(embedded: Embedded) -> Embedded:
    """Return what all ranks embedded, in their order, with gradients; each has as many items."""
    if not (distributed.is_available() and distributed.is_initialized()):
        return embedded
    sizes = gathered_numbers(list(embedded.mask.shape), embedded.mask.device).view(-1, 2)
    if len(set(sizes[:, 0].tolist())) > 1:
        raise InputError(
            f"the ranks drew batches of {', '.join(map(str, sizes[:, 0].tolist()))}: retrieval compares all of them; "
            "give the data synchronised: true, or one stream alone"
        )
    padded = embedded.padded(int(sizes[:, 1].max()))
    vectors, weights, mask = (
        GatheredRows.apply(each) for each in (padded.vectors, padded.weights, padded.mask.float())
    )
    return Embedded(vectors, mask.bool(), weights)


def gathered_numbers(numbers: list[int], device: torch.device) -> torch.Tensor:
    """Return as many numbers of each rank, in the order of the ranks."""
    mine = torch.tensor(numbers, device=device)
    if not (distributed.is_available() and distributed.is_initialized()):
        return mine
    found = [torch.empty_like(mine) for _ in range(distributed.get_world_size())]
    distributed.all_gather(found, mine)
    return torch.cat(found)


class RetrievalValidation(Validation):
    """Embed every video and all of its captions, and rank the videos of all ranks for each caption, and the reverse.

    Scores: R@1, R@5, R@10, MedR and MnR of videos by text, recalls of texts by video (`text R@1`), and their sum.
    """

    def __init__(self, model: Retriever) -> None:
        self._model = model
        self.start()

    def start(self) -> None:
        self._texts: list[Embedded] = []
        self._media: list[Embedded] = []
        self._keys: list[tuple[str, int]] = []  # of each video, and how many captions it has

    @torch.no_grad()
    def step(self, batch: Batch) -> list[tuple[str, torch.Tensor]]:
        """Embed a batch; return keys and vectors of the videos."""
        assert batch.memory is not None, "the module has encoded it"
        media = self._model.embed_memory(batch.memory)
        captions = [caption for captions in batch.references for caption in captions]
        if captions:
            self._texts.append(self._model.embed_states(self._model.read(captions)).to("cpu"))
            self._media.append(media.to("cpu"))
            self._keys += [(key, len(captions)) for key, captions in zip(batch.keys, batch.references, strict=True)]
        return list(zip(batch.keys, media.pooled.cpu(), strict=True))

    def end(self, module: lightning.LightningModule, stage: str) -> None:
        """Score on every rank what all ranks embedded, so that the figure is that of one process."""
        texts, media = (list(itertools.chain(*of_all_ranks(part))) for part in (self._texts, self._media))
        keys = list(itertools.chain(*of_all_ranks(self._keys)))
        if not keys:
            return
        owners = np.repeat(np.arange(len(keys)), [count for _, count in keys])
        with torch.no_grad():
            on_device = [Embedded.joined(parts).to(module.device) for parts in (texts, media)]
            similarity = self._model.score(*on_device).float().cpu().numpy()
        found = score_both_directions(similarity, owners)
        self.videos = len(keys)
        recalls = {f"text R@{cutoff}": found.backward[f"R@{cutoff}"] for cutoff in CUTOFFS}
        self.record(module, stage, {**found.forward, **recalls, RSUM: found.rsum})
