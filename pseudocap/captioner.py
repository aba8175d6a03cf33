"""PseudoCap, what a user holds: the network with its tokenizer and its preprocessing, loaded, used and saved as one."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import torch
from transformers import PreTrainedTokenizerBase

from pseudocap.decoding import check_frames, decoding_options
from pseudocap.errors import ConfigError, InputError, first_line
from pseudocap.hub.card import card_text, may_write
from pseudocap.hub.checkpoint import absolute, check_folder, moved, require_same
from pseudocap.hub.fetch import CARD_FILE, CONFIG_FILE, RESULTS_FILE, WEIGHTS_FILE, Access, Fetched, fetch
from pseudocap.hub.publish import Published, pack, send
from pseudocap.model.config import SEPARABLE, VIDEO, GateSchedule, PseudoCapConfig, default_adapter_layers
from pseudocap.model.decoders.opt import AdaptedOPT, load_opt
from pseudocap.model.encoders.timesformer import TimeSformer
from pseudocap.model.loss import IGNORE
from pseudocap.model.network import CaptionNetwork, seeded
from pseudocap.model.precision import FULL, check_precision, warn_where_slow
from pseudocap.model.weights import read_tensors, write_checkpoint
from pseudocap.types import CLIP_SECONDS, MAX_FRAMES, MAX_NEW_TOKENS, MIN_SECONDS, Preprocess, TimedCaption
from pseudocap.version import __version__
from pseudocap.video.watch import batched, pad_clips, view_file, watch_clips, watch_file

if TYPE_CHECKING:
    from pseudocap.explain.explanation import Explanation


@dataclass(kw_only=True, slots=True)
class CaptionTokens:
    """Captions as the network learns them: `</s> caption </s>`, padded on the right.

    Neither padding nor the opening token has a label: nothing foretells where a caption begins.
    """

    input_ids: torch.Tensor
    attention_mask: torch.Tensor
    labels: torch.Tensor


class PseudoCap(CaptionNetwork):
    """A captioner. Only its adapters learn (`trainable_names`), and only they are saved."""

    def __init__(
        self,
        encoder: TimeSformer,
        decoder: AdaptedOPT,
        tokenizer: PreTrainedTokenizerBase,
        config: PseudoCapConfig,
    ) -> None:
        super().__init__(encoder, decoder)
        self.tokenizer = tokenizer
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
        opt, tokenizer, decoder_id = load_opt(absolute(decoder), revision=decoder_revision)
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
            decoder=decoder_id,
            encoders={VIDEO: timesformer.origin},
            adapter_layers=(
                default_adapter_layers(opt.config.num_hidden_layers) if adapter_layers is None else adapter_layers  # type: ignore[arg-type]
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
            adapted = AdaptedOPT(opt, config, memory_width=watched.width)
        return cls(timesformer, adapted, tokenizer, config).to(target, dtype)

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
        opt, tokenizer, decoder_id = load_opt(
            moved(config.decoder, decoder),
            revision=None if decoder else config.decoder.revision,
            as_stored=precision != FULL,  # what will be packed need not be spread out first
            **asdict(access),
        )
        timesformer = TimeSformer.from_pretrained(
            moved(config.encoder, encoder), revision=None if encoder else config.encoder.revision, **asdict(access)
        )
        assert timesformer.origin is not None  # from_pretrained names it
        require_same("decoder", config.decoder, decoder_id, folder)
        require_same("encoder", config.encoder, timesformer.origin, folder)
        config = config.with_backbones(decoder=decoder_id, encoder=timesformer.origin)
        adapted = AdaptedOPT.from_adapters(opt, config, adapters, memory_width=timesformer.config.width, source=weights)
        model = cls(timesformer, adapted, tokenizer, config)
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
            parcel = pack(Path(folder), repo, license=license, decoder=decoder, encoder=encoder)
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
    ) -> str | list[str]:
        """One caption for a file, video or image; a list of captions for a list of files.

        Frames are spread evenly over the whole file. `top_p` samples, the same captions for the same seed and list.
        A file that cannot be read raises its DecodeError.
        """
        files = [video] if isinstance(video, str | Path) else list(video)
        preprocess = self.preprocess_for(num_frames)
        options = decoding_options(beams=beams, top_p=top_p, max_new_tokens=max_new_tokens, seed=seed)
        captions = []
        for batch in batched((watch_file(file, preprocess) for file in files), batch_size):
            captions += self.decode(self.generate(self.encode(*pad_clips(batch)), **options))
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
    ) -> Iterator[TimedCaption]:
        """A caption for every clip of a long video, as they are made; a batch of clips is in memory at a time.

        Of a truncated file the readable clips are captioned before the DecodeError is raised.
        """
        preprocess = self.preprocess_for(num_frames)
        options = decoding_options(beams=beams, top_p=top_p, max_new_tokens=max_new_tokens, seed=seed)
        clips = watch_clips(video, preprocess, clip_seconds=clip_seconds, min_seconds=min_seconds)
        for batch in batched(clips, batch_size):
            memory = self.encode(*pad_clips([frames for _, frames in batch]))
            texts = self.decode(self.generate(memory, **options))
            for (clip, _), text in zip(batch, texts, strict=True):
                yield TimedCaption(start=clip.start, end=clip.end, text=text)

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

        sight = view_file(video, self.preprocess_for(num_frames))
        options = decoding_options(beams=beams, top_p=top_p, max_new_tokens=max_new_tokens, seed=seed)
        memory = self.encode(sight.frames[None])
        ids = self.generate(memory, **options) if caption is None else self.tokenize([caption]).input_ids
        return explain_ids(self, self.tokenizer, ids[0], memory, sight=sight, source=str(video))

    def preprocess_for(self, num_frames: int | None) -> Preprocess:
        """The checkpoint's own preparation, with another number of frames where one is given."""
        check_frames(num_frames)
        if num_frames is None:
            return self.config.preprocess
        return replace(self.config.preprocess, frames=num_frames)

    def tokenize(self, captions: Sequence[str], *, max_tokens: int | None = None) -> CaptionTokens:
        """Captions to learn from. BOS and EOS share an id in OPT, so padding is told by position, never by id.

        A longer caption than `max_tokens` is cut and has no closing token, for it does not end there.
        """
        captions = [] if isinstance(captions, str) else list(captions)
        if not captions:
            raise InputError("captions must be a list of at least one text")
        for index, caption in enumerate(captions):
            if not isinstance(caption, str) or not caption.strip():
                raise InputError(f"caption {index} must be a text with at least one word, not {caption!r}")
        bos, eos = self.tokenizer.bos_token_id, self.tokenizer.eos_token_id
        # A caption from the web may contain `</s>`: there it is text, and ends nothing.
        options = {"add_special_tokens": False, "split_special_tokens": True}
        rows = [[bos, *self.tokenizer(caption.strip(), **options)["input_ids"], eos] for caption in captions]
        if max_tokens is not None:
            rows = [row[:max_tokens] for row in rows]
        longest = max(len(row) for row in rows)
        self.decoder.check_length(longest)
        device = self.device
        lengths_N1 = torch.tensor([[len(row)] for row in rows], device=device)
        real_NL = torch.arange(longest, device=device) < lengths_N1
        pad = self.decoder.config.pad_token_id
        ids_NL = torch.tensor([row + [pad] * (longest - len(row)) for row in rows], device=device)
        labels_NL = ids_NL.masked_fill(~real_NL, IGNORE)
        labels_NL[:, 0] = IGNORE
        return CaptionTokens(input_ids=ids_NL, attention_mask=real_NL.long(), labels=labels_NL)

    @property
    def mask_token_id(self) -> int:
        """What stands in for a masked word. OPT has no mask token, and the hub's tokenizer calls `</s>` its unknown."""
        return self.tokenizer.convert_tokens_to_ids("<unk>")

    def decode(self, ids: torch.Tensor) -> list[str]:
        """Generated ids as captions, without what only frames them."""
        return [text.strip() for text in self.tokenizer.batch_decode(ids, skip_special_tokens=True)]


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
