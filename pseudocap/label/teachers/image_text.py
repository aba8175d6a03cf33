"""Use image-text models of transformers as teachers: BLIP and its like caption the middle frame of every view."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pseudocap.decoding import LabelDecoding
from pseudocap.errors import CheckpointError, ConfigError, first_line
from pseudocap.files.sources import check_repo, hub_answers, resolve_source
from pseudocap.label.teachers.base import Answer, View

BLIP = "Salesforce/blip-image-captioning-large"
INT8 = "int8"  # the linear layers of a BLIP; all else stays float32


class ImageTextTeacher:
    """Run BLIP, or any image-text model of transformers that its Auto classes load: GIT, BLIP-2, a chat-style one.

    Its own processor resizes (on the tensor, on the model's device) and normalises. A chat-style model is asked its
    prompt through its own chat template.
    """

    def __init__(
        self,
        name: str,
        *,
        decoding: LabelDecoding | None = None,
        revision: str | None = None,
        size: int | None = None,
        device: str = "cpu",
        dtype: str = "auto",
    ) -> None:
        import torch

        self._decoding = decoding or LabelDecoding()
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
        self.revision = getattr(self._model.config, "_commit_hash", None) or revision
        self.short_side: int | None = size or _side(self._processor)
        self._prompt = self._framed_prompt()
        self.settings: Mapping[str, object] = {
            **self._decoding.recorded(),
            "size": self.short_side,
            "dtype": INT8 if dtype == INT8 else str(self._dtype).removeprefix("torch."),
        }

    def _to_int8(self) -> None:
        from pseudocap.label.teachers.blip import to_int8

        if not self._is_blip or self._device.type != "cpu":
            kind = self._model.config.model_type
            raise ConfigError(
                f"dtype is int8, which is for a BLIP on a CPU, and {self.name} is a {kind} on {self._device.type}; "
                f"leave dtype at auto"
            )
        to_int8(self._model)

    def _load(self, name: str, revision: str | None, size: int | None) -> None:
        from transformers import AutoModelForImageTextToText, AutoProcessor

        folder = Path(resolve_source(name)).expanduser()
        source = str(folder) if folder.is_dir() else check_repo(name)
        options: dict[str, Any] = {"revision": revision, "trust_remote_code": False}
        options["local_files_only"] = not hub_answers(source, revision=revision)  # or it asks again for minutes
        try:
            self._processor = AutoProcessor.from_pretrained(source, **options)
            model = AutoModelForImageTextToText.from_pretrained(source, **options, dtype=self._dtype)
        except (OSError, ValueError, KeyError, ImportError) as error:
            raise CheckpointError(
                f"{name} cannot be loaded as a teacher ({first_line(error)}); name a directory, or a repo of an "
                f"image-text model on the hub, {BLIP} for example"
            ) from error
        self._model = model.to(self._device).eval().requires_grad_(False)
        self._resize = {} if size is None else {"size": {"height": size, "width": size}}
        self._is_blip = self._model.config.model_type == "blip"
        if size is not None and self._is_blip and size != self._model.config.vision_config.image_size:
            self._resize_positions = {"interpolate_pos_encoding": True}
        else:
            self._resize_positions = {}

    def _framed_prompt(self) -> str:
        """Return the text that goes in with every image."""
        prompt = self._decoding.prompt
        if not getattr(self._processor, "chat_template", None):
            return prompt
        content = [{"type": "image"}, {"type": "text", "text": prompt or "Describe this image in one sentence."}]
        conversation = [{"role": "user", "content": content}]
        return str(self._processor.apply_chat_template(conversation, add_generation_prompt=True))

    def caption(self, views: Sequence[View]) -> list[Answer]:
        import torch

        with torch.inference_mode():
            inputs = self._inputs(views)
            if self._decoding.beams > 1:
                return self._by_beams(inputs, len(views))
            return self._by_sampling(inputs, views)

    def _inputs(self, views: Sequence[View]) -> dict[str, Any]:
        import torch

        images = []
        for view in views:
            assert view.frames is not None, "a teacher of images needs a frame"
            images.append(torch.from_numpy(view.frames[len(view.frames) // 2]).permute(2, 0, 1).to(self._device))
        text = {"text": [self._prompt] * len(views)} if self._prompt else {}
        if not text and hasattr(self._processor, "image_processor"):  # BLIP would make an empty prompt of nothing
            inputs = self._processor.image_processor(images, return_tensors="pt", **self._resize)
        else:
            inputs = self._processor(images=images, return_tensors="pt", **text, **self._resize)
        moved = inputs.to(self._device)
        return {
            name: value.to(self._dtype) if torch.is_floating_point(value) else value for name, value in moved.items()
        }

    def _by_sampling(self, inputs: dict[str, Any], views: Sequence[View]) -> list[Answer]:
        import torch

        from pseudocap.label.sampling import KeyedSampling

        count = self._decoding.captions
        keys = torch.tensor([view.key + number for view in views for number in range(count)], dtype=torch.int64)
        sampling = KeyedSampling(
            keys.to(self._device), top_p=self._decoding.top_p, temperature=self._decoding.temperature
        )
        # Sampling from what the processor leaves, which is one token: transformers' own choices are all switched off.
        sequences = self._generate(
            inputs, do_sample=True, top_k=0, top_p=1.0, temperature=1.0, num_return_sequences=count,
            logits_processor=[sampling],
        )  # fmt: skip
        log_probs, tokens = sampling.of_captions(sequences, self._ends())
        return self._answers(sequences[:, -sampling.steps :], log_probs, tokens, len(views))

    def _by_beams(self, inputs: dict[str, Any], rows: int) -> list[Answer]:
        out = self._generate(
            inputs, do_sample=False, num_beams=self._decoding.beams, num_return_sequences=self._decoding.captions,
            output_scores=True, return_dict_in_generate=True,
        )  # fmt: skip
        generator = getattr(self._model, "text_decoder", None) or getattr(self._model, "language_model", self._model)
        steps = generator.compute_transition_scores(out.sequences, out.scores, out.beam_indices)
        chosen = out.beam_indices[:, : steps.shape[1]] >= 0
        log_probs = steps.double().masked_fill(~chosen, 0.0).sum(dim=1).tolist()
        return self._answers(out.sequences[:, -len(out.scores) :], log_probs, chosen.sum(dim=1).tolist(), rows)

    def _generate(self, inputs: dict[str, Any], **options: Any) -> Any:
        return self._model.generate(**inputs, **self._resize_positions, **options, **self._decoding.limits)

    def _ends(self) -> list[int]:
        config = self._model.config
        if self._is_blip:
            return [config.text_config.sep_token_id]
        end = self._model.generation_config.eos_token_id
        end = config.get_text_config().eos_token_id if end is None else end
        return list(end) if isinstance(end, list) else [end]

    def _answers(self, written: Any, log_probs: list[float], tokens: list[int], rows: int) -> list[Answer]:
        """Make answers of the generated tokens, without the prompt; the captions of a view follow one another."""
        texts = (" ".join(text.split()) for text in self._processor.batch_decode(written, skip_special_tokens=True))
        captions = list(zip(texts, log_probs, tokens, strict=True))
        count = len(captions) // rows
        return [Answer.ranked(captions[first : first + count]) for first in range(0, len(captions), count)]


def _precision(dtype: str, device: Any) -> Any:
    import torch

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
