"""Load any retriever by its name: one of ours, a CLIP-like model, or a captioner whose captions are searched.

    load_retriever("openai/clip-vit-base-patch32")  # transformers' CLIP or SigLIP, or open_clip's format
    load_retriever("real-photos+sentence-transformers/all-MiniLM-L6-v2")  # captions, then a sentence encoder

A CLIP-like model sees frames spread evenly over a clip; each is embedded by itself, and the mean of the normalised
vectors is the clip's (CLIP4Clip's mean pooling, and its 12 frames). Both are the baselines that a trained retriever
must beat on the same files.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch.nn import functional
from transformers import AutoImageProcessor, AutoModel

from pseudocap.captioner import FileCaptioner
from pseudocap.decoding import FileDecoding, check_frames
from pseudocap.errors import CheckpointError
from pseudocap.external import AnyCaptioner, ExternalCaptioner, load
from pseudocap.file_retriever import FileRetriever
from pseudocap.files.loading_bars import without_loading_bars
from pseudocap.files.sources import find_file, read_json, resolve_source
from pseudocap.hub.fetch import split_written
from pseudocap.hub.retrievers import FoundRetriever, find_retriever
from pseudocap.model.decoders.load import tokenizer_hash
from pseudocap.model.device import pick_device
from pseudocap.model.open_clip import read_open_clip
from pseudocap.model.text_towers import TextTower, load_text_tower, load_tokenizer, require_words
from pseudocap.model.weights import fingerprint, transformers_access, transformers_reason
from pseudocap.retriever import Retriever
from pseudocap.valor import ValorModel
from pseudocap.video.reader import Frames

FRAMES = 12  # of a clip, as CLIP4Clip takes them
BATCH = 64  # of images or texts embedded at a time
TOKENS = 128  # of a caption or a query that a sentence encoder reads
PADDING: dict[str, bool | str] = {"clip": True, "siglip": "max_length"}  # how each kind was trained to read texts
POOLING_FILE = "1_Pooling/config.json"  # of sentence-transformers


def load_retriever(
    name: str | Path | FoundRetriever,
    *,
    revision: str | None = None,
    checkpoints: str | Path | None = None,
    device: str = "auto",
) -> FileRetriever[Any]:
    """Load a retriever: a row of checkpoints.yaml, a directory, a repo of the hub (`owner/repo@revision`), an address
    of one of ours; or CAPTIONER+SENTENCE_ENCODER, each by such a name; or what has been found already."""
    found = name
    if not isinstance(found, FoundRetriever):
        found = find_retriever(found, revision=revision, checkpoints=checkpoints)
    source, access = found.source, found.access
    if found.kind == "captions":
        sentences = SentenceEncoder.from_pretrained(found.sentences, device=device)
        return CaptionRetriever(load(source, checkpoints=checkpoints, device=device), sentences)
    if found.kind == "image-text":
        return ImageTextRetriever(*_read_image_text(source, access), device=device)
    if found.kind == "open_clip":
        return ImageTextRetriever(*read_open_clip(source, access), load_tokenizer(source, access), device=device)
    kind = ValorModel if found.kind == "valor" else Retriever
    return kind.from_pretrained(source, revision=access["revision"], checkpoints=checkpoints, device=device)


def _read_image_text(source: str, access: dict[str, Any]) -> tuple[Any, Any, Any]:
    """Load a model of images and texts, its image processor and its tokenizer."""
    options = {**transformers_access(source, access), "trust_remote_code": False}
    address = resolve_source(source)
    try:
        with without_loading_bars():
            model, info = AutoModel.from_pretrained(address, dtype=torch.float32, output_loading_info=True, **options)
        processor = AutoImageProcessor.from_pretrained(address, **options)
    except Exception as error:  # damaged files fail in ways of every kind
        raise CheckpointError(f"the model in {source} could not be loaded: {transformers_reason(error)}") from error
    if wrong := sorted(map(str, (*info["missing_keys"], *info["mismatched_keys"]))):
        raise CheckpointError(f"the weights in {source} lack {len(wrong)} tensors of the model: {', '.join(wrong[:4])}")
    return model.eval(), processor, load_tokenizer(source, access)


def _hash(**parts: object) -> str:
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()


class ImageTextRetriever(FileRetriever[torch.Tensor]):
    """Embed texts and frames with a CLIP-like model."""

    def __init__(self, model: Any, processor: Any, tokenizer: Any, *, device: str = "auto") -> None:
        self._device = pick_device(device)
        self._model = model.to(self._device).requires_grad_(False)
        self._processor, self._tokenizer = processor, tokenizer
        self._identity = _hash(
            kind=model.config.model_type,
            weights=fingerprint(model.named_parameters()),
            tokenizer=tokenizer_hash(tokenizer),
            images=processor.to_dict(),
        )

    @property
    def identity(self) -> str:
        return self._identity

    @property
    def dim(self) -> int:
        config = self._model.config
        return int(getattr(config, "projection_dim", None) or config.vision_config.hidden_size)

    def frames_of(self, num_frames: int | None) -> int:
        check_frames(num_frames)
        return FRAMES if num_frames is None else num_frames

    def prepare(self, frames: Frames) -> torch.Tensor:
        """Return the frames [T,3,H,W] as the model's own processor resizes and normalises them."""
        pixels: torch.Tensor = self._processor(
            images=list(frames.pixels), return_tensors="pt", input_data_format="channels_last"
        )["pixel_values"]
        return pixels

    @torch.inference_mode()
    def embed_clips(self, clips: Sequence[torch.Tensor]) -> torch.Tensor:
        if not clips:
            return torch.zeros(0, self.dim)
        parts = (self._features(images=part) for part in torch.cat(list(clips)).split(BATCH))
        frames = torch.cat(list(parts)).split([len(clip) for clip in clips])
        return functional.normalize(torch.stack([each.mean(0) for each in frames]), dim=-1)

    @torch.inference_mode()
    def embed_text(self, texts: Sequence[str]) -> torch.Tensor:
        require_words(texts)
        if not texts:
            return torch.zeros(0, self.dim)
        config = self._model.config
        tokens = self._tokenizer(
            list(texts),
            padding=PADDING[config.model_type],
            truncation=True,
            max_length=config.text_config.max_position_embeddings,
            return_tensors="pt",
        )
        names = ("input_ids", "attention_mask")[: 1 if config.model_type == "siglip" else 2]  # SigLIP reads its padding
        batches = ({name: tokens[name][at : at + BATCH] for name in names} for at in range(0, len(texts), BATCH))
        return torch.cat([self._features(**batch) for batch in batches])

    def _features(self, *, images: torch.Tensor | None = None, **tokens: torch.Tensor) -> torch.Tensor:
        """Return vectors of length one, on the CPU."""
        if images is not None:
            found = self._model.get_image_features(pixel_values=images.to(self._device))
        else:
            found = self._model.get_text_features(**{name: each.to(self._device) for name, each in tokens.items()})
        vectors: torch.Tensor = getattr(found, "pooler_output", found)  # the vectors themselves before transformers 5
        return functional.normalize(vectors.float(), dim=-1).cpu()


class SentenceEncoder:
    """Embed sentences: the mean of a language model's last states, as sentence-transformers takes it."""

    def __init__(self, tower: TextTower, *, device: str = "auto") -> None:
        self.tower = tower.to(pick_device(device))

    @classmethod
    def from_pretrained(cls, name: str, *, device: str = "auto") -> SentenceEncoder:
        source, revision = split_written(name)
        tower = load_text_tower(source, revision=revision)
        try:
            pooling = read_json(find_file(source, POOLING_FILE, revision=tower.origin.revision))
        except CheckpointError:
            pooling = {}
        if pooling and not pooling.get("pooling_mode_mean_tokens", pooling.get("pooling_mode") == "mean"):
            raise CheckpointError(f"{name} pools otherwise than by the mean ({POOLING_FILE}); name one that does")
        return cls(tower, device=device)

    @torch.inference_mode()
    def embed(self, texts: Sequence[str]) -> torch.Tensor:
        """Return a vector of length one for each text [A,E]."""
        vectors = [torch.zeros(0, self.tower.width)]
        for first in range(0, len(texts), BATCH):
            states = self.tower(texts[first : first + BATCH], max_tokens=TOKENS)
            real = states.mask[..., None].float()
            means = (states.vectors.float() * real).sum(1) / real.sum(1)
            vectors.append(functional.normalize(means, dim=-1).cpu())
        return torch.cat(vectors)


class CaptionRetriever(FileRetriever[Any]):
    """Caption clips, and compare texts with the captions: what a captioner is worth as a retriever."""

    def __init__(self, captioner: AnyCaptioner, sentences: SentenceEncoder) -> None:
        self.captioner: FileCaptioner[Any] = captioner
        self._sentences = sentences
        model = captioner.model.network if isinstance(captioner, ExternalCaptioner) else captioner
        self._identity = _hash(
            captioner=fingerprint(model.named_parameters()),
            frames=getattr(captioner, "frames", None),
            sentences=sentences.tower.origin.fingerprint,
            tokenizer=sentences.tower.origin.tokenizer,
        )

    @property
    def identity(self) -> str:
        return self._identity

    @property
    def dim(self) -> int:
        return self._sentences.tower.width

    def frames_of(self, num_frames: int | None) -> int:
        return self.captioner.frames_of(num_frames)

    def prepare(self, frames: Frames) -> Any:
        return self.captioner.prepare(frames)

    def embed_clips(self, clips: Sequence[Any]) -> torch.Tensor:
        captions = self.captioner.caption_clips(clips, FileDecoding()) if clips else []
        return self._sentences.embed([caption if caption.strip() else "nothing" for caption in captions])

    def embed_text(self, texts: Sequence[str]) -> torch.Tensor:
        require_words(texts)
        return self._sentences.embed(texts)
