"""Use a captioner of this package as the teacher of the next, for self-refinement: it sees a complete clip."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from pseudocap.decoding import LabelDecoding
from pseudocap.label.sampling import KeyedSampling
from pseudocap.label.teachers.base import Answer, View
from pseudocap.video.tensors import pad_clips
from pseudocap.video.transforms import eval_tensor


class PseudoCapTeacher:
    """Caption with `model`, a PseudoCap that the caller loads: labelling does not depend on captioners. `name` and
    `revision` are recorded in every row."""

    def __init__(self, model: Any, *, name: str, decoding: LabelDecoding, revision: str | None = None) -> None:
        self._model = model
        self._decoding = decoding
        self.name, self.revision = name, revision
        self.frames: int = model.config.preprocess.frames
        self.short_side: int | None = model.config.preprocess.size
        dtype = next(model.parameters()).dtype
        self.settings: Mapping[str, object] = {**decoding.recorded(), "dtype": str(dtype).removeprefix("torch.")}

    def caption(self, views: Sequence[View]) -> list[Answer]:
        clips = []
        for view in views:
            assert view.frames is not None, "a teacher of video needs frames"
            clips.append(eval_tensor(view.frames, self._model.config.preprocess))
        with torch.inference_mode():
            memory = self._model.encode(*pad_clips(clips))
            return self._by_beams(memory) if self._decoding.beams > 1 else self._by_sampling(memory, views)

    def _by_beams(self, memory: Any) -> list[Answer]:
        options = {"prompt": self._decoding.prompt, "num_beams": self._decoding.beams, **self._decoding.limits}
        return [Answer(captions=(text,)) for text in self._model.describe(memory, **options)]

    def _by_sampling(self, memory: Any, views: Sequence[View]) -> list[Answer]:
        written: list[list[tuple[str, float, int]]] = [[] for _ in views]
        for number in range(self._decoding.captions):
            keys = torch.tensor([view.key + number for view in views], dtype=torch.int64, device=self._model.device)
            sampling = KeyedSampling(keys, top_p=self._decoding.top_p, temperature=self._decoding.temperature)
            ids = self._model.generate(
                memory, prompt=self._decoding.prompt, **self._decoding.limits,
                do_sample=True, top_k=0, top_p=1.0, temperature=1.0, seed=0, logits_processor=[sampling],
            )  # fmt: skip
            log_probs, tokens = sampling.of_captions(ids, [self._model.decoder.eos_id])
            texts = self._model.decode(ids[:, -sampling.steps :])  # without the prompt
            for row, caption in enumerate(zip(texts, log_probs, tokens, strict=True)):
                written[row].append(caption)
        return [Answer.ranked(captions) for captions in written]
