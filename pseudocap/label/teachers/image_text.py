"""Run image-text and video-text models of transformers: as captioners (pseudocap/external.py), and as teachers, which
caption the middle frame of every view."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch

from pseudocap.decoding import Decoding, LabelDecoding
from pseudocap.errors import CheckpointError, ConfigError, InputError, first_line
from pseudocap.files.loading_bars import without_loading_bars
from pseudocap.files.sources import check_repo, hub_answers, hub_file, is_cached, resolve_source
from pseudocap.label.sampling import KeyedSampling
from pseudocap.label.teachers.base import Answer, View

BLIP = "Salesforce/blip-image-captioning-large"
INT8 = "int8"  # the linear layers of a BLIP; all else stays float32
EXAMPLE = f"name a directory, or a repo of an image-text model on the hub, {BLIP} for example"
PIXELS = "pixel_values"
CHAT_FRAMES = 8  # of a video, for chat-style models, which take any number


class ImageTextModel:
    """Run BLIP, or any image-text model of transformers that its Auto classes load: GIT, BLIP-2, a chat-style one.

    Its own processor resizes (on the tensor, on the model's device) and normalises. A chat-style model is asked its
    prompt through its own chat template. `video_frames` says how many frames of a video the model takes at once, 0 for
    models of images.
    """

    role = "an image-text captioner"

    def __init__(
        self,
        name: str,
        *,
        revision: str | None = None,
        size: int | None = None,
        device: str = "cpu",
        dtype: str = "auto",
    ) -> None:
        self._device = torch.device(device)
        self._dtype = _precision(dtype, self._device)
        self.name = name
        self.revision: str | None = None
        self._load(name, revision, size)
        if self._is_blip:
            from pseudocap.label.teachers.blip import fuse

            fuse(self._model)
        if dtype == INT8:
            self._to_int8()
        self.short_side: int | None = size or _side(self._processor)
        self.dtype = INT8 if dtype == INT8 else str(self._dtype).removeprefix("torch.")

    @property
    def network(self) -> torch.nn.Module:
        """Return the model of transformers itself."""
        return self._model

    @property
    def kind(self) -> str:
        """Return what transformers calls its architecture, as `blip-2`."""
        return str(self._model.config.model_type)

    @property
    def is_chat(self) -> bool:
        """Return whether it is asked through a chat template, so that its prompt is a question."""
        return bool(getattr(self._processor, "chat_template", None))

    @property
    def most_frames(self) -> int | None:
        """Return how many frames of a video it has embeddings for; None is any number."""
        count: int | None = getattr(self._model.config, "num_image_with_embedding", None)
        return count

    @property
    def video_frames(self) -> int:
        """Return how many frames of a video it takes by default; 0 where it takes none."""
        if self.most_frames is not None:
            return self.most_frames
        return CHAT_FRAMES if self.is_chat and getattr(self._processor, "video_processor", None) else 0

    def _to_int8(self) -> None:
        from pseudocap.label.teachers.blip import to_int8

        if not self._is_blip or self._device.type != "cpu":
            kind = self._model.config.model_type
            raise ConfigError(
                f"int8 is for a BLIP on a CPU, and {self.name} is a {kind} on {self._device.type}; leave dtype at auto "
                "(precision at float32)"
            )
        to_int8(self._model)

    def _load(self, name: str, revision: str | None, size: int | None) -> None:
        from transformers import AutoConfig, AutoModelForImageTextToText

        folder = Path(resolve_source(name)).expanduser()
        source = str(folder) if folder.is_dir() else check_repo(name)
        offline = not hub_answers(source, revision=revision)  # or it asks again for minutes
        if not folder.is_dir():  # the commit, which labels record, and which all files come from
            cached = offline and is_cached(source, "config.json", revision=revision)
            revision = hub_file(source, "config.json", revision=revision, local_files_only=cached).parent.name
        self.revision = revision
        options: dict[str, Any] = {"revision": revision, "local_files_only": offline, "trust_remote_code": False}
        try:
            config = AutoConfig.from_pretrained(source, **options)
            check_kind(config.model_type, name)
            self._processor = _load_processor(source, options)
            with without_loading_bars():
                model, found = AutoModelForImageTextToText.from_pretrained(
                    source, **options, dtype=self._dtype, output_loading_info=True
                )
        except CheckpointError:
            raise
        except (OSError, ValueError, KeyError, ImportError) as error:
            raise CheckpointError(f"{name} cannot be loaded as {self.role} ({first_line(error)}); {EXAMPLE}") from error
        if lacking := sorted(set(found["missing_keys"]) & {key for key, _ in model.named_parameters()}):
            raise CheckpointError(
                f"{name} has no weights for {len(lacking)} tensors of a {config.model_type} that writes captions, "
                f"{lacking[0]} for example: it is a part of one; {EXAMPLE}"
            )
        self._model = model.to(self._device).eval().requires_grad_(False)
        self._resize = {} if size is None else {"size": {"height": size, "width": size}}
        self._is_blip = self._model.config.model_type == "blip"
        resized = size is not None and self._is_blip and size != self._model.config.vision_config.image_size
        self._resize_positions = {"interpolate_pos_encoding": True} if resized else {}

    def answer(
        self,
        clips: Sequence[np.ndarray],
        decoding: Decoding,
        *,
        keys: Sequence[int],
        prompt: str = "",
        captions: int = 1,
        fps: Sequence[float] | None = None,
    ) -> list[Answer]:
        """Caption pictures, uint8 [H,W,3]; with `fps` videos [T,H,W,3], all of as many frames. Sampling noise depends
        on a clip's key."""
        with torch.inference_mode():
            inputs = self._inputs(clips, prompt) if fps is None else self._video_inputs(clips, fps, prompt)
            if decoding.beams > 1:
                return self._by_beams(inputs, len(clips), decoding, captions)
            return self._by_sampling(inputs, keys, decoding, captions)

    def _framed(self, prompt: str, kind: str = "image") -> str:
        """Return the text that goes in with every image or video."""
        if not self.is_chat:
            return prompt
        content = [{"type": kind}, {"type": "text", "text": prompt or f"Describe this {kind} in one sentence."}]
        conversation = [{"role": "user", "content": content}]
        return str(self._processor.apply_chat_template(conversation, add_generation_prompt=True))

    def _inputs(self, images: Sequence[np.ndarray], prompt: str) -> dict[str, Any]:
        planar = [self._planar(image) for image in images]
        if text := self._framed(prompt):
            # A chat's text has a list of images: SmolVLM would take those of a batch for the first text's.
            pictures, padded = ([[each] for each in planar], {"padding": True}) if self.is_chat else (planar, {})
            inputs = self._processor(
                images=pictures, text=[text] * len(images), return_tensors="pt", **padded, **self._resize
            )
        elif hasattr(self._processor, "image_processor"):  # BLIP would make an empty prompt of nothing
            inputs = self._processor.image_processor(planar, return_tensors="pt", **self._resize)
        else:
            inputs = self._processor(images=planar, return_tensors="pt", **self._resize)
        return self._prompted(self._moved(inputs), prompt)

    def _video_inputs(self, clips: Sequence[np.ndarray], fps: Sequence[float], prompt: str) -> dict[str, Any]:
        if not self.is_chat:  # GIT: an embedding for each frame, and otherwise its images
            inputs = self._inputs([image for clip in clips for image in clip], prompt)
            rows = {name: value.unflatten(0, (len(clips), -1)) for name, value in inputs.items()}
            return {name: value if name == PIXELS else value[:, 0] for name, value in rows.items()}
        from transformers.video_utils import VideoMetadata

        metadata = [
            VideoMetadata(total_num_frames=len(clip), fps=rate, frames_indices=list(range(len(clip))))
            for clip, rate in zip(clips, fps, strict=True)
        ]
        inputs = self._processor(
            videos=[self._planar(clip) for clip in clips],
            text=[self._framed(prompt, "video")] * len(clips),
            video_metadata=metadata,
            do_sample_frames=False,
            padding=True,
            return_tensors="pt",
        )
        return self._moved(inputs)

    def _planar(self, pixels: np.ndarray) -> Any:
        return torch.from_numpy(pixels).movedim(-1, -3).to(self._device)

    def _moved(self, inputs: Any) -> dict[str, Any]:
        moved = inputs.to(self._device)
        return {
            name: value.to(self._dtype) if torch.is_floating_point(value) else value for name, value in moved.items()
        }

    def _prompted(self, inputs: dict[str, Any], prompt: str) -> dict[str, Any]:
        """Refuse a prompt that the model would not read; take off the end mark that GIT's tokenizer sets after one."""
        kind = self._model.config.model_type
        if prompt and "input_ids" not in inputs:
            raise InputError(f"{self.name} is a {kind}, which takes no prompt: leave prompt out")
        if kind == "git" and prompt:
            return {**{name: inputs[name][:, :-1] for name in ("input_ids", "attention_mask")}, PIXELS: inputs[PIXELS]}
        return inputs

    def _by_sampling(
        self, inputs: dict[str, Any], keys: Sequence[int], decoding: Decoding, captions: int
    ) -> list[Answer]:
        each = torch.tensor([key + number for key in keys for number in range(captions)], dtype=torch.int64)
        sampling = KeyedSampling(each.to(self._device), top_p=decoding.top_p, temperature=decoding.temperature)
        # Sampling from what the processor leaves, which is one token: transformers' own choices are all switched off.
        sequences = self._generate(
            inputs, decoding, do_sample=True, top_k=0, top_p=1.0, temperature=1.0, num_return_sequences=captions,
            logits_processor=[sampling],
        )  # fmt: skip
        log_probs, tokens = sampling.of_captions(sequences, self._ends())
        return self._answers(sequences[:, -sampling.steps :], log_probs, tokens, len(keys))

    def _by_beams(self, inputs: dict[str, Any], rows: int, decoding: Decoding, captions: int) -> list[Answer]:
        from transformers import GenerationMixin

        out = self._generate(
            inputs, decoding, do_sample=False, num_beams=decoding.beams, num_return_sequences=captions,
            output_scores=True, return_dict_in_generate=True,
        )  # fmt: skip
        parts = (getattr(self._model, name, None) for name in ("text_decoder", "language_model"))
        generator = next((part for part in parts if isinstance(part, GenerationMixin)), self._model)
        steps = generator.compute_transition_scores(out.sequences, out.scores, out.beam_indices)
        chosen = out.beam_indices[:, : steps.shape[1]] >= 0
        log_probs = steps.double().masked_fill(~chosen, 0.0).sum(dim=1).tolist()
        # As many as the longest of the captions has: the search may have gone on for longer.
        return self._answers(out.sequences[:, -steps.shape[1] :], log_probs, chosen.sum(dim=1).tolist(), rows)

    def _generate(self, inputs: dict[str, Any], decoding: Decoding, **options: Any) -> Any:
        return self._model.generate(**inputs, **self._resize_positions, **options, **decoding.limits)

    def _ends(self) -> list[int]:
        config = self._model.config
        if self._is_blip:
            return [config.text_config.sep_token_id]
        end = self._model.generation_config.eos_token_id
        end = config.get_text_config().eos_token_id if end is None else end
        return list(end) if isinstance(end, list) else [end]

    def _pad(self) -> int | None:
        if self._is_blip:
            return self._model.config.text_config.pad_token_id
        return self._model.generation_config.pad_token_id

    def _answers(self, written: Any, log_probs: list[float], tokens: list[int], rows: int) -> list[Answer]:
        """Make answers of the generated tokens, without the prompt; the captions of a view follow one another."""
        texts = [" ".join(text.split()) for text in self._processor.batch_decode(written, skip_special_tokens=True)]
        last = {*self._ends(), self._pad()}  # what a caption that ended ends with, or is filled up with
        cut = {text for text, ids in zip(texts, written.tolist(), strict=True) if ids[-1] not in last}
        captions = list(zip(texts, log_probs, tokens, strict=True))
        count = len(captions) // rows
        ranked = (Answer.ranked(captions[first : first + count]) for first in range(0, len(captions), count))
        return [replace(answer, cut=answer.captions[0] in cut) for answer in ranked]


class ImageTextTeacher(ImageTextModel):
    """Use an image-text model as a teacher: the middle frame of a view, one decoding for all, recorded in every row."""

    role = "a teacher"

    def __init__(self, name: str, *, decoding: LabelDecoding | None = None, **options: Any) -> None:
        super().__init__(name, **options)
        self._decoding = decoding or LabelDecoding()
        self.settings: Mapping[str, object] = {
            **self._decoding.recorded(),
            "size": self.short_side,
            "dtype": self.dtype,
        }

    def caption(self, views: Sequence[View]) -> list[Answer]:
        images = []
        for view in views:
            assert view.frames is not None, "a teacher of images needs a frame"
            images.append(view.frames[len(view.frames) // 2])
        return self.answer(
            images,
            self._decoding,
            keys=[view.key for view in views],
            prompt=self._decoding.prompt,
            captions=self._decoding.captions,
        )


def check_kind(kind: str, name: str) -> None:
    """Refuse a model whose `model_type` is of none that write text about pictures."""
    from transformers.models.auto.modeling_auto import MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES

    if kind not in MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES:
        raise CheckpointError(f"{name} is a {kind}, which writes no text about pictures; {EXAMPLE}")


def _load_processor(source: str, options: dict[str, Any]) -> Any:
    """Return the processor of images and text; for repos from before there were such, put together from its parts."""
    from transformers import AutoImageProcessor, AutoProcessor, AutoTokenizer, ProcessorMixin

    processor = AutoProcessor.from_pretrained(source, **options)
    if not isinstance(processor, ProcessorMixin):
        tokenizer = AutoTokenizer.from_pretrained(source, **options)
        images = AutoImageProcessor.from_pretrained(source, **options)
        return _Parts(image_processor=images, batch_decode=tokenizer.batch_decode)
    if getattr(processor, "chat_template", None):
        processor.tokenizer.padding_side = "left"  # questions of different lengths end where answers begin
    return processor


class _Parts(SimpleNamespace):
    """Hold an image processor and a tokenizer, as a processor does that reads no text."""

    def __call__(self, images: Any, text: Any, **options: Any) -> Any:
        return self.image_processor(images, **options)


def _precision(dtype: str, device: torch.device) -> torch.dtype:
    known = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16, INT8: torch.float32}
    if dtype == "auto":
        return torch.bfloat16 if device.type == "cuda" and torch.cuda.is_bf16_supported() else torch.float32
    if dtype not in known:
        raise ConfigError(f"dtype is {dtype!r} and must be auto or one of {', '.join(known)}")
    return known[dtype]


def _side(processor: Any) -> int | None:
    """Return the shorter side of the images that a processor makes, where it has one size for all."""
    size = getattr(getattr(processor, "image_processor", None), "size", None) or {}
    sides = [size[name] for name in ("height", "width", "shortest_edge") if name in size]
    return max(sides) if sides else None
