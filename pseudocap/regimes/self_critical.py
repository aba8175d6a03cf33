"""Train on CIDEr-D itself (self-critical; Rennie et al., 2017), starting from a captioner that has learned captions.

Several captions of each image or video are sampled, and scored against all that people wrote of it. Those that are
better than the others' mean become likelier, the worse ones less likely; one caption by a person stays in the loss.

Legend: B videos, K samples of each, N captions (a multiple of B), L tokens.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from pseudocap.errors import ConfigError, InputError
from pseudocap.memory import Memory
from pseudocap.metrics import bleu, cider
from pseudocap.metrics.bleu import TINY
from pseudocap.metrics.references import ORDERS, Floats, Predictions, References
from pseudocap.model.loss import IGNORE
from pseudocap.model.text import side_by_side
from pseudocap.regimes.base import PreTraining
from pseudocap.regimes.losses import Losses, Objective
from pseudocap.regimes.table import SELF_CRITICAL
from pseudocap.types import Batch

END = "endofcaption"  # a word behind each caption, so that one that breaks off, "a man with a", is worth less
ADDED = 0.1  # to the n-grams of BLEU, n > 1, so that a single caption has one


@dataclass(frozen=True, kw_only=True)  # no slots: jsonargparse reads the defaults from __dict__
class Sampling:
    """Set what is sampled, and what it is worth.

    Args:
        samples: captions of each image or video, two or more
        temperature: of the samples, and of the distribution that learns
        max_new_tokens: a sample that has not ended by then is worth nothing
        bleu: weight of BLEU-4 beside CIDEr-D
        caption: weight of the loss of a caption by a person
    """

    samples: int = 5
    temperature: float = 0.6
    max_new_tokens: int = 22
    bleu: float = 0.5
    caption: float = 0.1

    def __post_init__(self) -> None:
        if self.samples < 2:
            raise ConfigError(f"sampling.samples must be 2 or more, which are compared, not {self.samples}")
        if not self.temperature > 0:
            raise ConfigError(f"sampling.temperature must be above 0, not {self.temperature!r}")
        if self.max_new_tokens < 2:
            raise ConfigError(f"sampling.max_new_tokens must be 2 or more, not {self.max_new_tokens}")
        for name in ("bleu", "caption"):
            if not getattr(self, name) >= 0:
                raise ConfigError(f"sampling.{name} must be 0 or more, not {getattr(self, name)!r}")


class Reward:
    """Score captions by CIDEr-D, and a share of BLEU-4, against their own references; rarity is that of all references.

    A caption scores up to 10, and `bleu` more.
    """

    def __init__(self, references: Mapping[str, Sequence[str]], *, bleu: float) -> None:
        ended = References({key: [f"{text} {END}" for text in texts] for key, texts in references.items()})
        if problem := cider.undefined(ended):
            raise ConfigError(f"nothing can be learned by CIDEr-D: {problem}; give more images or videos")
        self._references, self._bleu = ended, bleu

    def __call__(self, keys: Sequence[str], captions: Sequence[str]) -> Floats:
        """Return the score of each caption against the references of its key. Keys may repeat."""
        unknown = [key for key in keys if key not in self._references.index]
        if unknown:
            raise InputError(f"there are no references of {unknown[0]}; CIDEr-D needs those of every sample")
        scores, left = np.zeros(len(keys)), list(range(len(keys)))
        while left:  # a score has one caption of each key
            turn = {keys[index]: index for index in reversed(left)}
            chosen = list(turn.values())
            predictions = Predictions({key: f"{captions[at]} {END}" for key, at in turn.items()}, self._references)
            scores[chosen] = cider.cider_d(predictions) + self._bleu * _sentence_bleu(bleu.counts(predictions))
            left = sorted({*left} - {*chosen})
        return scores


class SelfCritical(PreTraining):
    """Learn from `StreamData` of memories or corpora, with several captions of each by people.

    Args:
        sampling: what is sampled, and what it is worth
        settings: those of every regime
    """

    steps = SELF_CRITICAL.steps

    def __init__(self, *args: Any, sampling: Sampling = Sampling(), **settings: Any) -> None:
        super().__init__(*args, **settings)
        if replace(self.objective, max_tokens=Objective().max_tokens) != Objective():
            raise ConfigError(
                "self-critical training takes objective.max_tokens alone: leave the rest of objective out"
            )
        self.sampling = sampling
        self.reward: Reward | None = None

    def on_fit_start(self) -> None:
        references = getattr(getattr(self.trainer, "datamodule", None), "captions_by_key", {})
        if not references:
            raise ConfigError(
                "self-critical training compares with all captions of a sample, which tars do not list: encode them "
                "(pseudocap encode) and give the memories"
            )
        self.reward = Reward(references, bleu=self.sampling.bleu)

    def training_step(self, batch: Batch, batch_index: int) -> torch.Tensor:
        assert self.reward is not None, "set where the fit starts"
        if batch.prompts:
            raise InputError("self-critical training samples entire captions; take the prompts out of its data")
        memory, group = self.memory_to_learn(batch, batch_index)
        K = self.sampling.samples
        draws = self.draws_of(batch, batch_index)
        sampled_NL, texts = self.sample(memory, int(torch.randint(2**62, (), generator=draws)))
        rewards_N = self.reward([key for key in batch.keys for _ in range(K)], texts)
        ended_N = (sampled_NL[:, 1:] == self.model.decoder.eos_id).any(dim=1)
        rewards_BK = (rewards_N * ended_N.numpy(force=True)).reshape(-1, K)
        loss = self.loss_of(batch, memory, sampled_NL, advantages(torch.from_numpy(rewards_BK)))
        self.log_losses(Losses(total=loss, parts={}, group=group), batch)
        self.log("train/reward", float(rewards_BK.mean()), prog_bar=True, batch_size=len(batch))
        if group:
            self.log(f"train/reward/{group}", float(rewards_BK.mean()), batch_size=len(batch))
        return loss

    def sample(self, memory: Memory, seed: int) -> tuple[torch.Tensor, list[str]]:
        """Sample K captions of each video: ids [N,1+L] behind BOS, the captions of a video side by side, and texts."""
        first_N1 = torch.full((len(memory) * self.sampling.samples, 1), self.model.decoder.bos_id, device=self.device)
        ids_NL = self.model.generate(
            memory,
            input_ids=first_N1,
            do_sample=True,
            temperature=self.sampling.temperature,
            top_k=0,
            max_new_tokens=self.sampling.max_new_tokens,
            seed=seed,
        )
        return ids_NL, self.model.decode(ids_NL)

    def loss_of(
        self, batch: Batch, memory: Memory, sampled_NL: torch.Tensor, advantages_BK: torch.Tensor
    ) -> torch.Tensor:
        """Compute the mean over tokens of each sample's loss times its advantage, with captions by people."""
        person, decoder, K = self.tokens_of(batch), self.model.decoder, advantages_BK.shape[1]
        sampled = [row[: _end(row, decoder.eos_id)] for row in sampled_NL.tolist()]
        lengths = person.attention_mask.sum(dim=1).tolist()
        theirs = [row[:length] for row, length in zip(person.input_ids.tolist(), lengths, strict=True)]
        P = len(theirs) // len(batch)
        rows: list[list[int]] = []
        weights: list[float] = []
        for video, of_video in enumerate(advantages_BK.tolist()):
            rows += [*sampled[video * K : (video + 1) * K], *theirs[video * P : (video + 1) * P]]
            weights += [*of_video, *[self.sampling.caption] * P]
        ids_NL, real_NL = side_by_side(rows, decoder.pad_id)
        output = self.model(
            ids_NL.to(self.device),
            memory,
            attention_mask=real_NL.long().to(self.device),
            labels=ids_NL.masked_fill(~real_NL, IGNORE).to(self.device),
            temperature=self.sampling.temperature,
            weights_NL=torch.tensor(weights)[:, None].expand_as(ids_NL).to(self.device),
        )
        return output.loss


def advantages(rewards_BK: torch.Tensor) -> torch.Tensor:
    """Return how much better each sample is than the mean of its video's other samples."""
    others = (rewards_BK.sum(dim=1, keepdim=True) - rewards_BK) / (rewards_BK.shape[1] - 1)
    return rewards_BK - others


def _sentence_bleu(counts: Floats) -> Floats:
    """Return BLEU-4 of each caption by itself, with n-grams added so that few are not none."""
    n = len(ORDERS)
    added = np.array([0.0, *[ADDED] * (n - 1)])
    guessed, right = counts[:, :n] + added, counts[:, n : 2 * n] + added
    precision = np.exp(np.log(np.maximum(right, TINY) / np.maximum(guessed, 1.0)).mean(axis=1))
    return precision * np.exp(np.minimum(0.0, 1.0 - counts[:, -1] / np.maximum(counts[:, -2], 1.0)))


def _end(row: list[int], eos_id: int) -> int:
    """Return the length of a sampled row with its EOS; all of it where it did not end."""
    return row.index(eos_id, 1) + 1 if eos_id in row[1:] else len(row)
