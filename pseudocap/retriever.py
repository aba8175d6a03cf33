"""Find files by text with one class, Retriever: load it, embed texts and files, save and publish it."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Self

import torch
import torch.nn.functional as F

from pseudocap.audio.clips import ClipSounds, Windows
from pseudocap.errors import ConfigError, InputError
from pseudocap.heard_clips import HeardClip, encoder_input
from pseudocap.hearing_retriever import HearingRetriever
from pseudocap.hub.assembly import fetch_once, load_recorded_encoders, origin_of, preprocess_of
from pseudocap.hub.checkpoint import absolute, check_retriever, moved, require_same
from pseudocap.hub.fetch import Access, Fetched
from pseudocap.hub.publish import Published, pack_checkpoint, send
from pseudocap.model.config import AUDIO, VIDEO
from pseudocap.model.device import pick_device
from pseudocap.model.encoders.frames import FramesEncoder
from pseudocap.model.encoders.load import load_audio_encoder, load_encoder
from pseudocap.model.retrieval import BottleneckTower, Embedded, RetrievalNetwork
from pseudocap.model.retrieval_config import DOT, RetrieverConfig
from pseudocap.model.text_towers import load_text_tower
from pseudocap.model.weights import fingerprint, load_exactly, read_tensors
from pseudocap.types import Preprocess
from pseudocap.video.reader import Frames
from pseudocap.video.tensors import batched, read_file


class Retriever(RetrievalNetwork, HearingRetriever[RetrieverConfig]):
    """Embed texts, films and images in one space. Only its towers learn (`trainable_names`), and what was set to learn
    of the language model; only they are saved."""

    @classmethod
    def from_backbones(
        cls,
        *,
        text: str | Path,
        encoder: str | Path,
        text_kind: str | None = None,
        num_frames: int | None = None,
        size: int | None = None,
        text_revision: str | None = None,
        encoder_revision: str | None = None,
        audio_encoder: str | Path | None = None,
        audio_encoder_revision: str | None = None,
        media_start: str | Path | None = None,
        seed: int = 0,
        device: str | torch.device = "auto",
        **settings: Any,
    ) -> Self:
        """Put new towers over a language model and a frozen encoder.

        Args:
            text: reads the texts: an encoder of transformers (BERT, XLM-R, ...) or a causal language model; a
                directory, a repo of the hub, or one that the package ships (pseudocap://toy-opt)
            encoder: a TimeSformer, or an image model of timm (timm/NAME) or transformers: likewise
            text_kind: encoder or decoder; null is what config.json says
            num_frames: of a clip; null is the encoder's own number
            size: pixels; null is the encoder's own
            text_revision: a commit or tag of the hub
            encoder_revision: a commit or tag of the hub
            audio_encoder: an AST, Whisper's encoder or a model of the waveform of transformers, or
                pseudocap://spectrogram: likewise; null is a retriever that does not hear
            audio_encoder_revision: a commit or tag of the hub
            media_start: a ViT of timm (timm/NAME) whose weights the media tower starts with (`media: bottleneck`)
            seed: of the towers' first weights
            device: where the retriever computes; auto is the best that this machine has
            settings: fields of RetrieverConfig: dim, text_layers, media_layers, similarity, ...
        """
        target = pick_device(device)
        read = load_text_tower(
            absolute(text),
            kind=text_kind,
            revision=text_revision,
            output=settings.get("text_output"),
            beside=settings.get("text_beside", ()),
        )
        seen = load_encoder(absolute(encoder), revision=encoder_revision)
        assert seen.origin is not None, "load_encoder names it"
        preprocess = preprocess_of(seen, num_frames=num_frames, size=size)
        encoders, heard, axes = {VIDEO: seen.origin}, None, seen.axes
        if audio_encoder is not None:
            heard = load_audio_encoder(absolute(audio_encoder), revision=audio_encoder_revision)
            encoders[AUDIO], axes = origin_of(heard), (*seen.axes, *heard.axes)
            settings["sound_preprocess"] = heard.preprocess
        config = RetrieverConfig(text=read.origin, encoders=encoders, preprocess=preprocess, axes=axes, **settings)
        retriever = cls(seen, read, config, audio_encoder=heard, seed=seed)
        if media_start is not None:
            if not isinstance(retriever.media_tower, BottleneckTower):
                raise ConfigError(f"media_start is for media: bottleneck, and media is {config.media}")
            vit = FramesEncoder.from_pretrained(absolute(media_start))
            retriever.media_tower.transformer.start_from_vit(vit.network.state_dict())
        return retriever.to(target)

    @classmethod
    def from_pretrained(
        cls,
        source: str | Path | Fetched,
        *,
        revision: str | None = None,
        text: str | Path | None = None,
        encoder: str | Path | None = None,
        audio_encoder: str | Path | None = None,
        device: str | torch.device = "auto",
        local_files_only: bool = False,
        token: str | bool | None = None,
        checkpoints: str | Path | None = None,
    ) -> Self:
        """Load what `save_pretrained` wrote: a directory, a row of checkpoints.yaml, `owner/repo[@revision]` of the
        hub, or an address; or what `fetch` has found already. `text`, `encoder` and `audio_encoder` say where the
        backbones lie now, if they moved; they must be those that the towers were trained over."""
        target = pick_device(device)
        access = Access(local_files_only=local_files_only, token=token)
        source = fetch_once(source, revision=revision, checkpoints=checkpoints, access=access)
        folder = source.folder
        lie = {"text": text, "encoder": encoder, "audio_encoder": audio_encoder}
        config, weights = check_retriever(folder, lie)
        if audio_encoder is not None and AUDIO not in config.encoders:
            raise ConfigError(f"{folder} does not hear, and a retriever gains no ears: leave audio_encoder out")
        read = load_text_tower(
            moved(config.text, text),
            kind=config.text.kind,
            output=config.text_output,
            beside=config.text_beside,
            revision=None if text else config.text.revision,
            **asdict(access),
        )
        require_same("text", config.text, read.origin, folder)
        seen, heard, found = load_recorded_encoders(config, lie, folder, access)
        retriever = cls(seen, read, config.with_backbones(text=read.origin, **found), audio_encoder=heard)
        load_exactly(retriever, read_tensors(weights), source=weights)
        retriever.origin = source
        return retriever.to(target)

    def push_to_hub(
        self,
        repo: str,
        *,
        private: bool = False,
        revision: str | None = None,
        license: str | None = None,  # noqa: A002 - the word that the hub's metadata has
        text: str | None = None,
        encoder: str | None = None,
        results: Mapping[str, Any] | None = None,
        token: str | bool | None = None,
    ) -> Published:
        """Publish the towers in one commit of `owner/repo`, as `pseudocap push` does a saved retriever. `text` and
        `encoder` say where others find a backbone that is a directory here."""
        with tempfile.TemporaryDirectory() as folder:
            self.save_pretrained(folder, results=results)
            parcel = pack_checkpoint(Path(folder), repo, license=license, text=text, encoder=encoder)
            return send(parcel, private=private, revision=revision, token=token)

    def set_preprocess(self, preprocess: Preprocess) -> None:
        own = self.config.preprocess
        if self.config.needs_patches and (preprocess.frames, preprocess.size) != (own.frames, own.size):
            raise ConfigError(f"media: bottleneck has positions for {own.frames} frames of {own.size} pixels alone")
        super().set_preprocess(preprocess)

    @property
    def identity(self) -> str:
        weights, text = fingerprint(self.state_dict().items()), self.config.text
        heard = () if self.audio_encoder is None else (self.audio_encoder.fingerprint,)
        return self.identity_of(text.fingerprint, text.tokenizer, self.config.encoder.fingerprint, weights, *heard)

    @property
    def compares_vectors(self) -> bool:
        return self.config.similarity == DOT and self.config.clips == 1

    def hear(self, frames: Frames, sound: Windows) -> torch.Tensor | HeardClip:
        return HeardClip.of(self.prepare(frames), sound)

    def require_ears(self, modalities: str) -> None:
        if modalities != "v" and self.audio_encoder is None:
            raise InputError(f"this retriever does not hear: modalities is {modalities!r}; leave it out")

    def embed_clips(self, clips: Sequence[torch.Tensor | HeardClip]) -> torch.Tensor:
        return self._clips(clips).pooled.float().cpu()

    def embed_video(
        self, video: str | Path | Sequence[str | Path], *, num_frames: int | None = None, batch_size: int = 8
    ) -> torch.Tensor:
        """Embed a file, or each of a list of files. Where several clips of a file are taken (`config.clips`), it is the
        mean of their vectors, of length one again."""
        files = [video] if isinstance(video, str | Path) else list(video)
        if not files:
            return torch.zeros(0, self.dim)
        media, owners = self._files(files, num_frames, batch_size)
        sums = torch.zeros(len(files), self.dim).index_add_(0, owners, media.pooled.float().cpu())
        return F.normalize(sums, dim=-1)

    @torch.no_grad()
    def similarity(
        self,
        texts: Sequence[str],
        files: Sequence[str | Path],
        *,
        num_frames: int | None = None,
        batch_size: int = 8,
    ) -> torch.Tensor:
        """Return how similar each text is to each file [A,B]: by the similarity that the retriever has learned, and of
        several clips the mean."""
        if not texts or not files:
            return torch.zeros(len(texts), len(files))
        media, owners = self._files(files, num_frames, batch_size)
        of_clips = self.score(self.embed_texts(texts), media).float().cpu()
        sums = torch.zeros(len(texts), len(files)).index_add_(1, owners, of_clips)
        return sums / owners.bincount(minlength=len(files))

    @torch.no_grad()
    def _clips(self, clips: Sequence[torch.Tensor | HeardClip]) -> Embedded:
        memory = self.encode(**encoder_input(clips))
        return self.embed_memory(memory if self.modalities == "av" else memory.only(self.modalities))

    def _files(
        self, files: Sequence[str | Path], num_frames: int | None, batch_size: int
    ) -> tuple[Embedded, torch.Tensor]:
        """Embed the clips of files, and return with them the index of each one's file."""
        owners, parts = [], []
        for batch in batched(self._clips_of(files, num_frames), batch_size):
            owners += [owner for owner, _ in batch]
            parts.append(self._clips([clip for _, clip in batch]))
        return Embedded.joined(parts), torch.tensor(owners)

    def _clips_of(
        self, files: Sequence[str | Path], num_frames: int | None
    ) -> Iterator[tuple[int, torch.Tensor | HeardClip]]:
        """Yield equally spaced clips of each file, by the file's index, with an equal part of its sound; one of a
        still, and of a file that is heard alone."""
        count = self.frames_of(num_frames)
        for owner, file in enumerate(files):
            if self.modalities == "a":
                yield owner, self.decode(file)
                continue
            frames, info = read_file(file, count * self.config.clips)
            clips = self.prepare(frames).split(count)
            part = info.duration / len(clips)
            if self.sound is None:
                yield from ((owner, clip) for clip in clips)
                continue
            with ClipSounds(file, self.sound) as sounds:
                for number, clip in enumerate(clips):
                    heard = sounds.of(number * part, (number + 1) * part)
                    yield owner, clip if heard is None else HeardClip.of(clip, heard)
