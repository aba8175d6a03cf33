"""PseudoCap, what a user holds: the network with its tokenizer and its preprocessing, loaded, used and saved as one."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import torch
from transformers import PreTrainedTokenizerBase

from pseudocap.decoding import Decoding, FileDecoding, check_frames
from pseudocap.errors import ConfigError, InputError, first_line
from pseudocap.hub.card import card_text, may_write
from pseudocap.hub.checkpoint import absolute, check_folder, moved, require_same
from pseudocap.hub.fetch import CARD_FILE, CONFIG_FILE, RESULTS_FILE, WEIGHTS_FILE, Access, Fetched, fetch
from pseudocap.hub.publish import Published, pack_checkpoint, send
from pseudocap.memory import Memory
from pseudocap.model.attention import require_memory
from pseudocap.model.config import SEPARABLE, VIDEO, GateSchedule, PseudoCapConfig, default_adapter_layers
from pseudocap.model.decoders.base import Decoder
from pseudocap.model.decoders.load import load_decoder
from pseudocap.model.encoders.timesformer import TimeSformer
from pseudocap.model.network import CaptionNetwork, seeded
from pseudocap.model.precision import FULL, check_precision, warn_where_slow
from pseudocap.model.text import (
    CaptionTokens,
    check_prompts,
    detokenize,
    mask_token_id,
    tokenize_captions,
    tokenize_prompts,
)
from pseudocap.model.weights import read_tensors, write_checkpoint
from pseudocap.types import (
    CLIP_SECONDS,
    MAX_FRAMES,
    MAX_NEW_TOKENS,
    MIN_SECONDS,
    Preprocess,
    TimedCaption,
)
from pseudocap.version import __version__
from pseudocap.video.watch import batched, pad_clips, view_file, watch_clips, watch_file

if TYPE_CHECKING:
    from pseudocap.explain.explanation import Explanation


class PseudoCap(CaptionNetwork):
    """A captioner. Only its adapters learn (`trainable_names`), and only they are saved."""

    def __init__(
        self,
        encoder: TimeSformer,
        decoder: Decoder,
        tokenizer: PreTrainedTokenizerBase,
        config: PseudoCapConfig,
    ) -> None:
        super().__init__(encoder, decoder)
        decoder.tokenizer = tokenizer
        self.config = config
        self.origin: Fetched | None = None  # of from_pretrained: where the checkpoint came from

    @classmethod
    def from_backbones(
        cls,
        *,
        decoder: str | Path,
        encoder: str | Path,
        adapter_layers: Sequence[int] | None = None,
        attention: str = SEPARABLE,
        fusion: str = "residual",
        gate: str = "vector",
        gate_init: float | None = None,
        gate_schedule: GateSchedule | None = None,
        num_frames: int | None = None,
        size: int | None = None,
        decoder_revision: str | None = None,
        encoder_revision: str | None = None,
        seed: int = 0,
        device: str | torch.device = "auto",
        dtype: torch.dtype = torch.float32,
    ) -> Self:
        """New adapters, started from `seed`, between two frozen networks from directories or the hub.

        Adapters go before every second layer of the decoder's upper half unless `adapter_layers` says otherwise. They
        look at the pooled video; with `attention="full"` at every patch of every frame, with "resampler" at latents
        that a Perceiver resampler makes of those.
        """
        target = pick_device(device)
        _check_dtype(dtype)
        loaded = load_decoder(absolute(decoder), revision=decoder_revision)
        timesformer = TimeSformer.from_pretrained(absolute(encoder), revision=encoder_revision)
        assert timesformer.origin is not None  # from_pretrained names it
        watched = timesformer.config
        frames = watched.num_frames if num_frames is None else num_frames
        side = watched.image_size if size is None else size
        if not 1 <= frames <= MAX_FRAMES:
            raise ConfigError(f"num_frames must be 1 to {MAX_FRAMES}, not {frames}")
        if side < 1 or side % watched.patch_size:
            raise ConfigError(f"size must be a multiple of the encoder's patch size {watched.patch_size}, not {side}")
        config = PseudoCapConfig(
            decoder=loaded.identity,
            encoders={VIDEO: timesformer.origin},
            adapter_layers=(
                default_adapter_layers(loaded.depth) if adapter_layers is None else adapter_layers  # type: ignore[arg-type]
            ),
            attention=attention,
            fusion=fusion,
            gate=gate,
            gate_init=gate_init,
            gate_schedule=gate_schedule or GateSchedule(),
            preprocess=Preprocess(
                size=side,
                mean=watched.mean,  # type: ignore[arg-type]
                std=watched.std,  # type: ignore[arg-type]
                frames=frames,
            ),
        )
        with seeded(seed):
            adapted = loaded.adapt(config, memory_width=watched.width)
        return cls(timesformer, adapted, loaded.tokenizer, config).to(target, dtype)

    @classmethod
    def from_pretrained(
        cls,
        source: str | Path | Fetched,
        *,
        revision: str | None = None,
        decoder: str | Path | None = None,
        encoder: str | Path | None = None,
        device: str | torch.device = "auto",
        dtype: torch.dtype = torch.float32,
        precision: str = FULL,
        local_files_only: bool = False,
        token: str | bool | None = None,
        checkpoints: str | Path | None = None,
    ) -> Self:
        """Load what `save_pretrained` wrote: a directory, a row of checkpoints.yaml, `owner/repo[@revision]` of the
        hub, or an address (s3://, https://); or what `fetch` has found already. `decoder` and `encoder` say where the
        backbones lie now, if they moved.

        `checkpoints` is a registry of one's own (file or address), in place of that in PSEUDOCAP_CHECKPOINTS. With
        `local_files_only` nothing is fetched. The backbones must be those that the adapters were trained between:
        their weights and the tokenizer are compared with what the checkpoint recorded before anything is built.

        `precision` (bfloat16, float16, int8, int4) holds the frozen weights in fewer bits, to caption on small machines
        (docs/small_machines.md); the adapters stay as they are. `dtype` is of the whole network.
        """
        target = pick_device(device)
        _check_dtype(dtype)
        check_precision(precision, target, dtype)
        access = Access(local_files_only=local_files_only, token=token)
        if not isinstance(source, Fetched):
            found = fetch(source, revision=revision, checkpoints=checkpoints, access=access)
        elif revision is None and checkpoints is None:
            found = source
        else:
            raise InputError("what has been fetched already takes neither revision nor checkpoints: give them to fetch")
        folder = found.folder
        config, weights = check_folder(folder, {"decoder": decoder, "encoder": encoder})
        adapters = read_tensors(weights)
        loaded = load_decoder(
            moved(config.decoder, decoder),
            revision=None if decoder else config.decoder.revision,
            as_stored=precision != FULL,  # what will be packed need not be spread out first
            **asdict(access),
        )
        timesformer = TimeSformer.from_pretrained(
            moved(config.encoder, encoder), revision=None if encoder else config.encoder.revision, **asdict(access)
        )
        assert timesformer.origin is not None  # from_pretrained names it
        require_same("decoder", config.decoder, loaded.identity, folder)
        require_same("encoder", config.encoder, timesformer.origin, folder)
        config = config.with_backbones(decoder=loaded.identity, encoder=timesformer.origin)
        adapted = loaded.adapt(config, memory_width=timesformer.config.width, adapters=adapters, source=weights)
        model = cls(timesformer, adapted, loaded.tokenizer, config)
        model.origin = found
        if precision == FULL:
            return model.to(target, dtype)
        warn_where_slow(precision, target)
        model.set_precision(precision)
        return model.to(target)

    def save_pretrained(self, path: str | Path, *, results: Mapping[str, Any] | None = None) -> None:
        """Adapters and config, what is known of them (`results`: scores, data, regime) and a page that says so.

        No frozen weight is saved. A page that somebody has made their own is left alone.
        """
        folder, known = Path(path), {**(results or {}), "pseudocap": __version__}
        beside = {RESULTS_FILE: json.dumps(known, indent=2, ensure_ascii=False) + "\n"}
        if may_write(folder / CARD_FILE):
            beside[CARD_FILE] = card_text(self.config, known)
        write_checkpoint(
            folder,
            weights=WEIGHTS_FILE,
            tensors=self.adapter_state(),
            config=CONFIG_FILE,
            document=self.config.to_dict(),
            beside=beside,
        )

    def push_to_hub(
        self,
        repo: str,
        *,
        private: bool = False,
        pull_request: bool = False,
        revision: str | None = None,
        license: str | None = None,  # noqa: A002 - the word that the hub's metadata has
        decoder: str | None = None,
        encoder: str | None = None,
        results: Mapping[str, Any] | None = None,
        token: str | bool | None = None,
    ) -> Published:
        """Publish the adapters in one commit of `owner/repo`, as `pseudocap push` does a saved checkpoint.

        `decoder` and `encoder` say where others find a backbone that is a directory here.
        """
        with tempfile.TemporaryDirectory() as folder:
            self.save_pretrained(folder, results=results)
            parcel = pack_checkpoint(Path(folder), repo, license=license, decoder=decoder, encoder=encoder)
            return send(parcel, private=private, pull_request=pull_request, revision=revision, token=token)

    def set_preprocess(self, preprocess: Preprocess) -> None:
        """What the captioner is shown from here on, and what `save_pretrained` records: larger crops, for instance."""
        patch = self.encoder.config.patch_size
        if preprocess.size % patch:
            raise ConfigError(f"size must be a multiple of the encoder's patch size {patch}, not {preprocess.size}")
        if preprocess.frames > MAX_FRAMES:
            raise ConfigError(f"frames must be 1 to {MAX_FRAMES}, not {preprocess.frames}")
        self.config = replace(self.config, preprocess=preprocess)

    def caption(
        self,
        video: str | Path | Sequence[str | Path],
        *,
        beams: int = 1,
        top_p: float | None = None,
        max_new_tokens: int = MAX_NEW_TOKENS,
        seed: int | None = None,
        num_frames: int | None = None,
        batch_size: int = 8,
        prompt: str = "",
    ) -> str | list[str]:
        """One caption for a file, video or image; a list of captions for a list of files. A `prompt` is what each goes
        on from; it is not part of the caption.

        Frames are spread evenly over the whole file. `top_p` samples, the same captions for the same seed and list.
        A file that cannot be read raises its DecodeError.
        """
        decoding = FileDecoding(
            beams=beams, top_p=top_p, max_new_tokens=max_new_tokens, seed=seed, num_frames=num_frames,
            batch_size=batch_size, prompt=prompt,
        )  # fmt: skip
        files = [video] if isinstance(video, str | Path) else list(video)
        preprocess = self.preprocess_for(num_frames)
        captions = []
        for batch in batched((watch_file(file, preprocess) for file in files), batch_size):
            captions += self.caption_clips(batch, decoding)
        return captions[0] if isinstance(video, str | Path) else captions

    def caption_long(
        self,
        video: str | Path,
        *,
        clip_seconds: float = CLIP_SECONDS,
        min_seconds: float = MIN_SECONDS,
        beams: int = 1,
        top_p: float | None = None,
        max_new_tokens: int = MAX_NEW_TOKENS,
        seed: int | None = None,
        num_frames: int | None = None,
        batch_size: int = 8,
        prompt: str = "",
    ) -> Iterator[TimedCaption]:
        """A caption for every clip of a long video, as they are made; a batch of clips is in memory at a time.

        Of a truncated file the readable clips are captioned before the DecodeError is raised.
        """
        decoding = FileDecoding(
            beams=beams, top_p=top_p, max_new_tokens=max_new_tokens, seed=seed, num_frames=num_frames,
            batch_size=batch_size, prompt=prompt,
        )  # fmt: skip
        return self.caption_every_clip(video, decoding, clip_seconds=clip_seconds, min_seconds=min_seconds)

    def caption_every_clip(
        self, video: str | Path, decoding: FileDecoding, *, clip_seconds: float, min_seconds: float
    ) -> Iterator[TimedCaption]:
        """What `caption_long` gives, for options that are one value already."""
        preprocess = self.preprocess_for(decoding.num_frames)
        clips = watch_clips(video, preprocess, clip_seconds=clip_seconds, min_seconds=min_seconds)
        for batch in batched(clips, decoding.batch_size):
            texts = self.caption_clips([frames for _, frames in batch], decoding)
            for (clip, _), text in zip(batch, texts, strict=True):
                yield TimedCaption(start=clip.start, end=clip.end, text=text)

    def caption_clips(self, clips: Sequence[torch.Tensor], decoding: FileDecoding) -> list[str]:
        """Caption clips [T,3,H,W] of any lengths as one batch."""
        memory = self.encode(*pad_clips(clips))
        return self.describe(memory, prompt=decoding.prompt, **decoding.generate_options())

    def explain(
        self,
        video: str | Path,
        *,
        caption: str | None = None,
        beams: int = 1,
        top_p: float | None = None,
        max_new_tokens: int = MAX_NEW_TOKENS,
        seed: int | None = None,
        num_frames: int | None = None,
    ) -> Explanation:
        """Which frames and which patches each word looked at, adapter by adapter, and how far each adapter opened.

        The caption is the one that `model.caption` gives with the same options, or the `caption` that is given: where
        would these words have looked? `.save("why.png")` draws it, `.save("why.npz")` keeps the arrays.
        """
        from pseudocap.explain.explanation import explain_ids  # captioning needs none of it

        decoding = Decoding(beams=beams, top_p=top_p, max_new_tokens=max_new_tokens, seed=seed)
        sight = view_file(video, self.preprocess_for(num_frames))
        memory = self.encode(sight.frames[None])
        given = None if caption is None else self.tokenize([caption]).input_ids
        ids = self.generate(memory, **decoding.generate_options()) if given is None else given
        return explain_ids(self, self.tokenizer, ids[0], memory, sight=sight, source=str(video))

    def preprocess_for(self, num_frames: int | None) -> Preprocess:
        """The checkpoint's own preparation, with another number of frames where one is given."""
        check_frames(num_frames)
        if num_frames is None:
            return self.config.preprocess
        return replace(self.config.preprocess, frames=num_frames)

    def tokenize(
        self,
        captions: Sequence[str],
        prompts: str | Sequence[str] | None = None,
        *,
        max_tokens: int | None = None,
    ) -> CaptionTokens:
        """Captions to learn from, framed and padded on the right, each after its prompt, which is not learned.

        A caption longer than `max_tokens` is cut and has no closing token, for it does not end there.
        """
        tokens = tokenize_captions(captions, self.tokenizer, self.decoder.marks, prompts=prompts, max_tokens=max_tokens)
        self.decoder.check_length(tokens.input_ids.shape[1])
        return tokens.to(self.device)

    def generate(self, memory: Memory, *, prompt: str | Sequence[str] | None = None, **options: Any) -> torch.Tensor:
        """Token ids [N, prompt + new] as CaptionNetwork.generate gives them, which go on from a `prompt`: one text for
        all videos or one for each, of any lengths."""
        if prompt is None or not any(prompt):
            return super().generate(memory, **options)
        require_memory(memory)
        if options.keys() & {"input_ids", "attention_mask"}:
            raise InputError("give generate a prompt as text or as input_ids, not both")
        ids, mask = tokenize_prompts(check_prompts(prompt, len(memory)), self.tokenizer, self.decoder.marks)
        return super().generate(memory, input_ids=ids, attention_mask=mask, **options)

    def describe(self, memory: Memory, *, prompt: str | Sequence[str] | None = None, **options: Any) -> list[str]:
        """The captions that `generate` writes, without their prompt."""
        ids = self.generate(memory, prompt=prompt, **options)
        if prompt is not None and any(prompt):
            given, _ = tokenize_prompts(check_prompts(prompt, len(memory)), self.tokenizer, self.decoder.marks)
            ids = ids[:, given.shape[1] :]
        return self.decode(ids)

    @property
    def tokenizer(self) -> PreTrainedTokenizerBase:
        """The decoder's own."""
        assert self.decoder.tokenizer is not None, "a captioner has text"
        return self.decoder.tokenizer

    @tokenizer.setter
    def tokenizer(self, tokenizer: PreTrainedTokenizerBase) -> None:
        self.decoder.tokenizer = tokenizer

    @property
    def mask_token_id(self) -> int:
        """What stands in for a masked word."""
        return mask_token_id(self.tokenizer)

    def decode(self, ids: torch.Tensor) -> list[str]:
        """Generated ids as captions, without what only frames them."""
        return detokenize(ids, self.tokenizer)


def pick_device(device: str | torch.device) -> torch.device:
    """`auto` is the best that this machine has."""
    if device == "auto":
        return torch.accelerator.current_accelerator(check_available=True) or torch.device("cpu")
    try:
        chosen = torch.device(device)
    except RuntimeError as error:
        raise ConfigError(f"device {device!r} is none that torch knows; try 'auto', 'cpu' or 'cuda'") from error
    try:
        torch.empty(0, device=chosen)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise ConfigError(f"device {device!r} cannot be used here: {first_line(error)}; try device='auto'") from error
    return chosen


def _check_dtype(dtype: torch.dtype) -> None:
    if not isinstance(dtype, torch.dtype) or not dtype.is_floating_point:
        raise ConfigError(f"dtype must be torch.float32, torch.bfloat16 or torch.float16, not {dtype!r}")
