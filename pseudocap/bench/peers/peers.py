"""Run other people's captioners on the same frames as ours: GIT, BLIP and BLIP-2 through transformers.

All decode greedily. GIT sees as many frames as its config has embeddings for, spread evenly over those that ours sees,
or the centre one; BLIP and BLIP-2 see the centre one. Where weights cannot be loaded a peer of the same shape with
random weights is timed and writes nothing that could be scored.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
import torch.nn.functional as F
import transformers

from pseudocap.bench.peers.peer_specs import Spec
from pseudocap.captioner import PseudoCap
from pseudocap.errors import CheckpointError, first_line
from pseudocap.files.sources import check_repo, hub_answers, resolve_source
from pseudocap.model.network import seeded
from pseudocap.video.transforms import eval_tensor

CLASSES: dict[str, tuple[Any, Any]] = {  # of peer_specs.KINDS
    "git": (transformers.GitForCausalLM, transformers.GitConfig),
    "blip": (transformers.BlipForConditionalGeneration, transformers.BlipConfig),
    "blip2": (transformers.Blip2ForConditionalGeneration, transformers.Blip2Config),
}
MEAN, STD = (0.481, 0.458, 0.408), (0.269, 0.261, 0.276)  # CLIP's, for shapes without a processor of their own
Pixels = np.ndarray  # uint8 [T,H,W,3]


class Captioner(Protocol):
    """Caption frames. `unscored` gives the reason why captions are worth nothing; empty where they are its own."""

    name: str
    unscored: str
    parameters: int

    def caption(self, clips: Sequence[Pixels]) -> list[str]: ...


class Ours:
    """Run a PseudoCap, from decoded frames to captions."""

    unscored = ""

    def __init__(self, spec: Spec) -> None:
        self.name, self._most = spec.name, spec.max_new_tokens
        self._model = PseudoCap.from_pretrained(spec.source, device=spec.device, checkpoints=spec.checkpoints)
        self.parameters = self._model.parameter_counts().total
        self.frames = self._model.config.preprocess.frames

    def caption(self, clips: Sequence[Pixels]) -> list[str]:
        pixels = torch.stack([eval_tensor(clip, self._model.config.preprocess) for clip in clips])
        ids = self._model.generate(self._model.encode(pixels), max_new_tokens=self._most)
        return self._model.decode(ids)


class Peer:
    """Run a captioner of transformers, with its own processor."""

    def __init__(self, spec: Spec) -> None:
        self.name, self._most, self._device = spec.name, spec.max_new_tokens, torch.device(spec.device)
        self._kind, self.unscored = spec.kind, ""
        self._processor: Any = None
        with seeded(0):  # of random weights, which write to the last token that they may, where real ones stop earlier
            self._model: Any = self._loaded(spec)
        self._model.to(self._device).eval().requires_grad_(False)
        self.parameters = sum(parameter.numel() for parameter in self._model.parameters())

    def _loaded(self, spec: Spec) -> Any:
        kind, shape = CLASSES[spec.kind]
        if not spec.source:
            self.unscored = "random weights of transformers' default shape: no repo or directory was named"
            return kind(shape())
        folder = Path(resolve_source(spec.source)).expanduser()
        source = str(folder) if folder.is_dir() else check_repo(spec.source)
        access = {"local_files_only": not hub_answers(source), "trust_remote_code": False}
        try:
            config = transformers.AutoConfig.from_pretrained(source, **access)
        except (OSError, ValueError, KeyError) as error:
            raise CheckpointError(f"not even its config can be had: {first_line(error)}") from error
        if not isinstance(config, shape):
            raise CheckpointError(f"it is a {config.model_type!r}, not a {spec.kind}; name its kind")
        try:
            self._processor = transformers.AutoProcessor.from_pretrained(source, **access)
            model, found = kind.from_pretrained(source, **access, dtype=torch.float32, output_loading_info=True)
        except (OSError, ValueError, KeyError, ImportError, RuntimeError) as error:
            self._processor = None
            self.unscored = f"random weights of its config, for the weights cannot be loaded: {first_line(error)}"
            return kind(config)
        if found["missing_keys"]:
            raise CheckpointError(f"its weights lack {len(found['missing_keys'])} tensors of its config")
        return model

    def caption(self, clips: Sequence[Pixels]) -> list[str]:
        with torch.inference_mode():
            pixels = self._pixels(clips)
            ids = self._model.generate(pixel_values=pixels, max_new_tokens=self._most, num_beams=1, do_sample=False)
        if self._processor is None:
            return ["" for _ in clips]
        texts = self._processor.batch_decode(ids, skip_special_tokens=True)
        return [" ".join(text.split()) for text in texts]

    def _pixels(self, clips: Sequence[Pixels]) -> torch.Tensor:
        """Return [B,C,H,W] of centre frames; [B,T,C,H,W] for a GIT that has embeddings of frames."""
        count = getattr(self._model.config, "num_image_with_embedding", None) if self._kind == "git" else None
        images = [clip[index] for clip in clips for index in chosen_frames(len(clip), count or 1)]
        pixels = self._prepared(images).to(self._device)
        return pixels.unflatten(0, (len(clips), count)) if count else pixels

    def _prepared(self, images: Sequence[np.ndarray]) -> torch.Tensor:
        planar = [torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1) for image in images]
        if self._processor is not None:
            processed: torch.Tensor = self._processor.image_processor(planar, return_tensors="pt")["pixel_values"]
            return processed
        side = self._model.config.vision_config.image_size
        square = torch.cat([F.interpolate(image[None] / 255, size=(side, side), mode="bilinear") for image in planar])
        return (square - torch.tensor(MEAN)[:, None, None]) / torch.tensor(STD)[:, None, None]


def chosen_frames(length: int, count: int) -> list[int]:
    """Choose the frames at the centres of `count` equal parts; one is the middle frame."""
    return [min(length - 1, int((index + 0.5) * length / count)) for index in range(count)]


def load_captioner(spec: Spec) -> Captioner:
    return Ours(spec) if spec.kind == "pseudocap" else Peer(spec)


def load_or_reason(spec: Spec) -> tuple[Captioner | None, str]:
    """Load a peer, or return why it cannot be loaded: the others are measured all the same."""
    transformers.utils.logging.disable_progress_bar()
    try:
        return load_captioner(spec), ""
    except CheckpointError as error:
        return None, str(error)
