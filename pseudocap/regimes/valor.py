"""Train a VALOR: texts and what is seen and heard come together (MGA), and are written from it (MGC).

Both losses are means over groups of modalities: T-V, T-A and T-AV by default. A clip takes part in a group where it has
all of its modalities, so a dataset with sight alone learns T-V, beside others with both. MGA is NCE both ways over the
batch of all ranks; MGC covers 60 % of a caption's tokens by [MASK], which are predicted from those before them and from
the media. A batch with prompts is of questions: the question is given, all of it seen, and its answer is learned.

The batch of all ranks is one: vectors are gathered with gradients (retrieval.py), tokens are counted over all ranks,
and which tokens are covered depends on the row in that batch. So two ranks learn what one process does.

Legend of the shape suffixes: A texts, B clips (A a multiple of B, those of a clip side by side), L tokens.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import lightning.pytorch as lightning
import numpy as np
import torch
import torch.nn.functional as F
from torch import distributed

from pseudocap.data.stream.resumable import of_all_ranks
from pseudocap.decoding import ValidationDecoding
from pseudocap.errors import ConfigError, InputError
from pseudocap.memory import SOUND, Memory
from pseudocap.metrics.retrieval import CUTOFFS, RSUM, score_both_directions
from pseudocap.model.network import seeded
from pseudocap.model.retrieval import Embedded
from pseudocap.model.valor import HEARD, SEEN, TEXT, group_of, parse_group
from pseudocap.model.valor_config import COARSE
from pseudocap.regimes.base import Learner
from pseudocap.regimes.losses import Losses
from pseudocap.regimes.optimisation import Optimisation
from pseudocap.regimes.retrieval import gathered, gathered_numbers, number_of
from pseudocap.regimes.retrieval_losses import nce
from pseudocap.regimes.table import VALOR
from pseudocap.regimes.validation import CaptionValidation, Validation
from pseudocap.types import Batch
from pseudocap.valor import ValorModel

GROUPS = ("T-V", "T-A", "T-AV")
NONE = " (none)"  # ends the name of a group that nothing in a batch has
_COVERED = 7  # what the random numbers are for, beside those of data/stream and modality_groups


@dataclass(frozen=True, kw_only=True)  # no slots: jsonargparse reads the defaults from __dict__
class ValorObjective:
    """Set what a VALOR learns.

    Args:
        align: groups of MGA, such as T-V, T-A, T-AV, V-A, A-TV, V-TA; none leaves MGA out
        describe: groups of MGC, of T-V, T-A, T-AV; none leaves MGC out
        alpha: of MGA, beside MGC
        mask: the share of a caption's tokens that are covered
        mask_answers: the same of answers; the paper gives none, the released code has this
        sound_clips: windows of sound that a step hears of each clip, drawn one from each of so many equal parts; null
            is all of them. Stored memories are heard in full.
    """

    align: tuple[str, ...] = GROUPS
    describe: tuple[str, ...] = GROUPS
    alpha: float = 1.5
    mask: float = 0.6
    mask_answers: float = 0.99
    sound_clips: int | None = None

    def __post_init__(self) -> None:
        for name in ("align", "describe"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
            if len({*getattr(self, name)}) < len(getattr(self, name)):
                raise ConfigError(f"objective.{name} names a group twice: {', '.join(getattr(self, name))}")
        if not self.align and not self.describe:
            raise ConfigError("objective.align and objective.describe are both empty, so nothing is learned")
        if any(len(one) > 1 for one, _ in map(parse_group, self.align)):
            raise ConfigError(f"objective.align: one modality stands before the dash, as in {', '.join(GROUPS)}")
        for group in self.describe:
            if group not in GROUPS:
                raise ConfigError(f"objective.describe is of {', '.join(GROUPS)}, not {group!r}")
        for name in ("mask", "mask_answers"):
            if not 0 < getattr(self, name) <= 1:
                raise ConfigError(f"objective.{name} must be above 0 and at most 1, not {getattr(self, name)!r}")
        if not self.alpha >= 0:
            raise ConfigError(f"objective.alpha must be 0 or more, not {self.alpha!r}")
        clips = self.sound_clips
        if clips is not None and (isinstance(clips, bool) or not isinstance(clips, int) or clips < 1):
            raise ConfigError(f"objective.sound_clips must be a whole number above 0, or null, not {clips!r}")


class Valor(Learner):
    """Learn from `StreamData` or `CaptionData`: captions and their images or clips, with sound where there is some.

    Args:
        model: pseudocap.regimes.networks.valor_from_backbones, or valor_from_pretrained there
        optimisation: the optimiser and its schedule
        objective: groups, their losses, and what is covered
        decoding: how validation captions
        seed: of dropout and of what is covered; order and crops have the data's own
    """

    steps = VALOR.steps
    monitor = "val/score"
    model: ValorModel

    def __init__(
        self,
        model: ValorModel,
        *,
        optimisation: Optimisation = Optimisation(),
        objective: ValorObjective = ValorObjective(),
        decoding: ValidationDecoding = ValidationDecoding(),
        seed: int = 0,
    ) -> None:
        super().__init__(model, optimisation=optimisation, seed=seed)
        self.objective, self.decoding = objective, decoding
        groups = {*objective.align, *objective.describe}
        if not model.config.hears and (deaf := sorted(group for group in groups if HEARD in group)):
            raise ConfigError(f"the groups {', '.join(deaf)} are of a model that hears: give it an audio_encoder, or "
                              "name T-V alone")  # fmt: skip
        if model.config.alignment == COARSE and any(TEXT in parse_group(group)[1] for group in objective.align):
            raise ConfigError("A-TV and V-TA compare vectors side by side: they need alignment: fine")
        _learn_what_is_reached(model, objective)
        self.validation = ValorValidation(model, self.captions_of, decoding, objective)

    @property
    def run_settings(self) -> dict[str, Any]:
        return {**super().run_settings, "model.objective": repr(self.objective)}

    def on_train_start(self) -> None:
        self.model.train()  # Lightning leaves a model as it comes, and ours come in evaluation mode

    def training_step(self, batch: Batch, batch_index: int) -> torch.Tensor:
        draws = self.draws_of(batch, batch_index)
        memory = self.memory_of(self.heard_in_part(batch, draws))
        with seeded(int(torch.randint(2**62, (), generator=draws))):  # dropout
            aligned = self.align(batch, memory) if self.objective.align else {}
            described = self.describe(batch, batch_index, memory) if self.objective.describe else {}
        named = {"mga": aligned, "mgc": described}
        parts = {
            f"{task}-{group}": loss for task, each in named.items() for group, loss in each.items() if NONE not in group
        }
        total = self.objective.alpha * _mean(aligned) + _mean(described)
        if not torch.is_tensor(total):
            raise InputError(
                f"no clip of a batch has all of a group of {', '.join(self.objective.align)}: fix the data"
            )
        self.log_losses(Losses(total=total, parts=parts), batch)
        self.log("train/temperature", float(self.model.temperature.detach()), batch_size=len(batch))
        return total

    def align(self, batch: Batch, memory: Memory) -> dict[str, torch.Tensor]:
        """Compute the NCE, of both ways, of each group that something of all ranks' batches has."""
        model = self.model
        parts = {TEXT: gathered(model.embed_states(model.read(batch.captions)))}
        parts |= {letter: gathered(each) for letter, each in self.embedded(memory).items()}
        videos_B = gathered_numbers([number_of(key) for key in batch.keys], self.device)
        each = len(parts[TEXT]) // len(videos_B)
        losses = {}
        for group in self.objective.align:
            sides = parse_group(group)
            scores_XY = self.similarity(parts, sides, each)
            media = [letter for letters in sides for letter in letters if letter != TEXT]
            has_B = torch.stack([parts[letter].mask.any(dim=1) for letter in media]).all(dim=0)
            repeats = [each if TEXT in letters else 1 for letters in sides]
            rows, columns = (has_B.repeat_interleave(times) for times in repeats)
            one, other = (videos_B[has_B].repeat_interleave(times) for times in repeats)
            same_XY = one[:, None] == other
            if len(one):
                scores_XY = scores_XY[rows][:, columns] / model.temperature
                losses[group] = nce(scores_XY, same_XY, ~same_XY) / 2
            elif _ranks() > 1:
                losses[group + NONE] = 0 * scores_XY.sum()  # so that all ranks have the same gradients
        return losses

    def similarity(self, parts: Mapping[str, Embedded], sides: tuple[str, str], each: int) -> torch.Tensor:
        """Compare one modality with another, or with several: then of each text, with its own clip's."""
        one, other = sides
        chosen = {letter: parts[letter] for letter in other}
        if TEXT in other and len(other) > 1:
            chosen = {letter: part if letter == TEXT else _repeated(part, each) for letter, part in chosen.items()}
        if one == TEXT:
            return self.model.score(parts[TEXT], chosen)
        return self.model.score(parts[one], self.model.joined(chosen))

    def describe(self, batch: Batch, batch_index: int, memory: Memory) -> dict[str, torch.Tensor]:
        """Compute the loss of covered tokens by each group that some clip of all ranks has: a mean over tokens."""
        tokens = self.model.tokens_to_learn(batch.captions, batch.prompts)
        covered_AL = self.covered(tokens.learned_NL, batch, batch_index)
        ids_AL = tokens.ids_NL.masked_fill(covered_AL, self.model.mask_id)
        each, sums, counts = len(ids_AL) // len(batch), {}, []
        for group in self.objective.describe:
            letters = parse_group(group)[1]
            has_B = torch.stack([memory.having(letter.lower()) for letter in letters]).all(dim=0)
            rows = has_B.nonzero()[:, 0]
            if not len(rows) and _ranks() > 1:
                rows = rows.new_zeros(1)  # so that all ranks have the same gradients
            counts.append(int((covered_AL & has_B.to(self.device).repeat_interleave(each)[:, None]).sum()))
            if not len(rows):
                continue
            texts = (rows[:, None] * each + torch.arange(each, device=rows.device)).flatten().to(self.device)
            media = self.model.project(memory[rows], group_of(letters))
            h_ALD = self.model.bert.write(ids_AL[texts], tokens[texts].sees_NLL, media)
            where_AL = covered_AL[texts]
            logits_MV = self.model.bert.logits(h_ALD[where_AL]).float()
            loss = F.cross_entropy(logits_MV, tokens.ids_NL[texts][where_AL], reduction="sum")
            sums[group] = loss if counts[-1] else 0 * loss
        totals = gathered_numbers(counts, self.device).view(-1, len(counts)).sum(dim=0).tolist()
        return {
            (group if total else group + NONE): sums[group] * _ranks() / max(total, 1)
            for group, total in zip(self.objective.describe, totals, strict=True)
            if group in sums
        }

    def covered(self, learned_AL: torch.Tensor, batch: Batch, batch_index: int) -> torch.Tensor:
        """Draw which tokens are covered: a share of those that are learned, and of each text at least one."""
        share = self.objective.mask_answers if batch.prompts else self.objective.mask
        step = batch.step if batch.step is not None else batch_index
        generator = np.random.default_rng([self.seed, step, _COVERED])
        A, L = learned_AL.shape
        drawn = generator.random((_ranks() * A, 2 * self.model.config.max_tokens))[self.global_rank * A :][:A, :L]
        drawn_AL = torch.from_numpy(drawn).to(learned_AL.device).masked_fill(~learned_AL, 2.0)
        return learned_AL & ((drawn_AL < share) | (drawn_AL == drawn_AL.amin(dim=1, keepdim=True)))

    def embedded(self, memory: Memory) -> dict[str, Embedded]:
        """Embed the media that the groups need; what no clip here has is one masked vector, for other ranks may."""
        found = self.model.embed_media(memory)
        needed = [letter for letter in (SEEN, HEARD) if any(letter in group for group in self.objective.align)]
        if missing := [letter for letter in needed if letter not in found]:
            found |= self.model.embed_nothing(missing, len(memory))
        return {letter: found[letter] for letter in needed}

    def heard_in_part(self, batch: Batch, draws: torch.Generator) -> Batch:
        """Return the batch with `sound_clips` windows of each clip's sound."""
        count, sound, lengths = self.objective.sound_clips, batch.sound, batch.sound_lengths
        if count is None or sound is None or lengths is None or sound.shape[1] <= count:
            return batch
        real_B1 = (lengths > 0).sum(dim=1, keepdim=True)
        edges_BN = (torch.arange(count + 1) * real_B1.cpu()) // count
        drawn_BN = torch.rand(len(sound), count, generator=draws)
        chosen_BN = edges_BN[:, :-1] + (drawn_BN * (edges_BN[:, 1:] - edges_BN[:, :-1]).clamp(min=1)).long()
        chosen_BN = chosen_BN.clamp(max=sound.shape[1] - 1).to(sound.device)
        rows_B1 = torch.arange(len(sound), device=sound.device)[:, None]
        return replace(batch, sound=sound[rows_B1, chosen_BN], sound_lengths=lengths[rows_B1, chosen_BN])

    def memory_of(self, batch: Batch) -> Memory:
        if batch.memory is not None and self.model.config.learn_encoders:
            raise InputError("learn_encoders needs frames: stored memories are of encoders that do not learn")
        return super().memory_of(batch)

    def captions_of(self, batch: Batch) -> list[str]:
        """Caption a batch's videos, or answer the questions about them, decoded as validation does."""
        options = self.decoding.generate_options()
        if batch.prompts:
            return self.model.answers(self.memory_of(batch), batch.prompts, **options)
        return self.model.describe(self.memory_of(batch), **options)


class ValorValidation(Validation):
    """Rank the videos of all ranks for each of their captions, and caption them, by all that each has.

    Scores: those of retrieval where MGA is learned, those of captions where MGC is, and `score`: the sum of R@1 and
    CIDEr-D, or what there is of both.
    """

    def __init__(
        self, model: ValorModel, caption: Any, decoding: ValidationDecoding, objective: ValorObjective
    ) -> None:
        self._model, self._ranks = model, bool(objective.align)
        self.captions = CaptionValidation(caption, examples=decoding.examples) if objective.describe else None
        self.start()

    def start(self) -> None:
        self._texts: list[Embedded] = []
        self._media: list[dict[str, Embedded]] = []
        self._keys: list[tuple[str, int]] = []
        if self.captions is not None:
            self.captions.start()

    @torch.no_grad()
    def step(self, batch: Batch) -> object:
        """Embed and caption a batch; return keys and captions."""
        assert batch.memory is not None, "the module has encoded it"
        captions = [caption for captions in batch.references for caption in captions]
        if self._ranks and captions:
            media = self._model.embed_media(batch.memory)
            missing = [letter for letter in self._model.heads if letter not in (TEXT, *media)]
            media |= self._model.embed_nothing(missing, len(batch.memory))
            self._media.append({letter: each.to("cpu") for letter, each in media.items()})
            self._texts.append(self._model.embed_states(self._model.read(captions)).to("cpu"))
            self._keys += [(key, len(captions)) for key, captions in zip(batch.keys, batch.references, strict=True)]
        return self.captions.step(batch) if self.captions is not None else list(batch.keys)

    def end(self, module: lightning.LightningModule, stage: str) -> None:
        """Score on every rank what all ranks embedded, so that the figure is that of one process."""
        found: dict[str, float] = {}
        if self.captions is not None:
            self.captions.end(module, stage)
            found |= self.captions.scores or {}
        keys = list(itertools.chain(*of_all_ranks(self._keys)))
        if keys:
            found = {**self._recalls(module, keys), **found}
        if found:
            self.videos = len(keys) or len(self.captions.captioned if self.captions else ())
            self.record(module, stage, {**found, "score": found.get("R@1", 0.0) + found.get("CIDEr-D", 0.0)})

    def _recalls(self, module: lightning.LightningModule, keys: Sequence[tuple[str, int]]) -> dict[str, float]:
        texts = list(itertools.chain(*of_all_ranks(self._texts)))
        media = list(itertools.chain(*of_all_ranks(self._media)))
        owners = np.repeat(np.arange(len(keys)), [count for _, count in keys])
        with torch.no_grad():
            joined = {
                letter: Embedded.joined([each[letter] for each in media]).to(module.device) for letter in media[0]
            }
            scores = self._model.score(Embedded.joined(texts).to(module.device), joined)
        found = score_both_directions(scores.float().cpu().numpy(), owners)
        recalls = {f"text R@{cutoff}": found.backward[f"R@{cutoff}"] for cutoff in CUTOFFS}
        return {**found.forward, **recalls, RSUM: found.rsum}


def _learn_what_is_reached(model: ValorModel, objective: ValorObjective) -> None:
    """Let learn what a loss reaches, and nothing else: other ranks must not wait for it."""
    learning = model.trainable_names
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name in learning)
    idle: list[torch.nn.Module] = []
    if not objective.align:
        idle += [model.heads, model.weigh, *([model.join] if model.join is not None else [])]
        idle += [model.bert.text] if model.bert.text is not None else []
        model.log_temperature.requires_grad_(False)
    for letter in (SEEN, HEARD):
        if letter in model.heads and objective.align and not any(letter in group for group in objective.align):
            idle += [model.heads[letter], *([model.weigh[letter]] if letter in model.weigh else [])]
    described = "".join(objective.describe)
    idle += [each for axis, each in model.inputs.items() if (HEARD if axis in SOUND else SEEN) not in described]
    idle += [model.bert.sound_attention] if HEARD not in described else []
    if SEEN not in described and (len(model.bert.sound_attention) or not described):
        idle += [layer.crossattention for layer in model.bert.layers if hasattr(layer, "crossattention")]
    if not described:
        idle.append(model.bert.lm.cls.predictions.transform)
        model.bert.lm.cls.predictions.bias.requires_grad_(False)
        if model.bert.text is not None:
            idle.append(model.bert.lm)
    for each in idle:
        each.requires_grad_(False)


def _ranks() -> int:
    return distributed.get_world_size() if distributed.is_available() and distributed.is_initialized() else 1


def _mean(losses: Mapping[str, torch.Tensor]) -> torch.Tensor | float:
    """Return the mean over the groups that something has; those without are zeros that count for nothing."""
    counted = sum(not group.endswith(NONE) for group in losses)
    return torch.stack(list(losses.values())).sum() / max(counted, 1) if losses else 0.0


def _repeated(part: Embedded, each: int) -> Embedded:
    return Embedded(*(getattr(part, name).repeat_interleave(each, dim=0) for name in ("vectors", "mask", "weights")))
