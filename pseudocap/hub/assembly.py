"""Assemble a captioner: new adapters between two frozen networks, or those of a checkpoint; save and publish it as
adapters and config alone."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Self

import torch
from transformers import PreTrainedTokenizerBase

from pseudocap.errors import CheckpointError, ConfigError, InputError
from pseudocap.hub.card import About, card_text, may_write
from pseudocap.hub.checkpoint import absolute, check_folder, moved, require_same
from pseudocap.hub.fetch import CARD_FILE, CONFIG_FILE, RESULTS_FILE, WEIGHTS_FILE, Access, Fetched, fetch
from pseudocap.hub.publish import Published, pack_checkpoint, send
from pseudocap.model.config import (
    AUDIO,
    SEPARABLE,
    VIDEO,
    Backbone,
    GateSchedule,
    PseudoCapConfig,
    default_adapter_layers,
)
from pseudocap.model.decoders.base import Decoder
from pseudocap.model.decoders.load import load_decoder
from pseudocap.model.device import check_dtype, pick_device
from pseudocap.model.encoders.audio import AudioEncoder
from pseudocap.model.encoders.base import Encoder, FrozenNetwork
from pseudocap.model.encoders.load import load_audio_encoder, load_encoder
from pseudocap.model.network import seeded
from pseudocap.model.precision import FULL_PRECISION, check_precision, warn_where_slow
from pseudocap.model.retrieval_config import RetrieverConfig
from pseudocap.model.text_network import TextNetwork
from pseudocap.model.valor_config import ValorConfig
from pseudocap.model.weights import in_8_bits, read_tensors, write_checkpoint
from pseudocap.types import MAX_FRAMES, Preprocess
from pseudocap.version import __version__


class AssembledCaptioner(TextNetwork):
    """Hold the network with the config that names its parts."""

    def __init__(
        self,
        encoder: Encoder,
        decoder: Decoder,
        tokenizer: PreTrainedTokenizerBase,
        config: PseudoCapConfig,
        audio_encoder: AudioEncoder | None = None,
    ) -> None:
        super().__init__(encoder, decoder, audio_encoder)
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
        adapter_width: int | None = None,
        learn_decoder: bool = False,
        audio_encoder: str | Path | None = None,
        audio_encoder_revision: str | None = None,
        moments: float | None = None,
        seed: int = 0,
        device: str | torch.device = "auto",
        dtype: torch.dtype = torch.float32,
    ) -> Self:
        """Put new adapters between two frozen networks.

        Args:
            decoder: a causal language model (OPT, GPT-2, Llama, ...): a directory, a repo of the hub, or one that the
                package ships (pseudocap://toy-opt)
            encoder: a TimeSformer, or an image model of timm (timm/NAME) or transformers: likewise
            adapter_layers: the decoder's layers, from 0, that an adapter stands before; null is every second of the
                upper half
            attention: separable (FrozenCaptioner); full, over every patch of every frame; resampler, over the
                latents of a Perceiver resampler (both need memories of `pseudocap encode --patches`); or context, the
                language model's own attention, without adapters (VideoCC)
            fusion: residual (FrozenCaptioner) or convex (PseudoCap-Vid)
            gate: vector, one gate per dimension, or scalar
            gate_init: the value inside tanh, or the start of theta; null is 1.0 for residual and 0.0 for convex
            gate_schedule: how convex gates are pushed over the steps
            num_frames: of a clip; null is the encoder's own number
            size: pixels; null is the encoder's own
            decoder_revision: a commit or tag of the hub
            encoder_revision: a commit or tag of the hub
            adapter_width: the width that adapters attend in; null is the decoder's own
            learn_decoder: train and save the language model too
            audio_encoder: an AST, a Whisper or a model of the waveform, likewise: the captioner then hears too
            audio_encoder_revision: a commit or tag of the hub
            moments: vectors a second of sound; null is the encoder's own number
            seed: of the adapters' first weights
            device: where the captioner computes; auto is the best that this machine has
            dtype: of the complete network
        """
        target = pick_device(device)
        check_dtype(dtype)
        loaded = load_decoder(absolute(decoder), revision=decoder_revision)
        seen = load_encoder(absolute(encoder), revision=encoder_revision)
        heard = None
        if audio_encoder is not None:
            heard = load_audio_encoder(absolute(audio_encoder), revision=audio_encoder_revision, moments=moments)
        preprocess = preprocess_of(seen, num_frames=num_frames, size=size)
        layers = default_adapter_layers(loaded.depth) if adapter_layers is None else adapter_layers
        config = PseudoCapConfig(
            decoder=loaded.identity,
            encoders={VIDEO: origin_of(seen)},
            adapter_layers=layers,  # type: ignore[arg-type]
            attention=attention,
            fusion=fusion,
            gate=gate,
            gate_init=gate_init,
            gate_schedule=gate_schedule or GateSchedule(),
            preprocess=preprocess,
            axes=seen.axes,
            adapter_width=adapter_width,
            learn_decoder=learn_decoder,
        )
        if heard is not None:
            config = _hearing(config, heard)
        with seeded(seed):
            adapted = loaded.adapt(config, memory_width=_memory_widths(config, seen, heard))
        return cls(seen, adapted, loaded.tokenizer, config, heard).to(target, dtype)

    @classmethod
    def from_pretrained(
        cls,
        source: str | Path | Fetched,
        *,
        revision: str | None = None,
        decoder: str | Path | None = None,
        encoder: str | Path | None = None,
        audio_encoder: str | Path | None = None,
        device: str | torch.device = "auto",
        dtype: torch.dtype = torch.float32,
        precision: str = FULL_PRECISION,
        local_files_only: bool = False,
        token: str | bool | None = None,
        checkpoints: str | Path | None = None,
    ) -> Self:
        """Load what `save_pretrained` wrote: a directory, a row of checkpoints.yaml, `owner/repo[@revision]` of the
        hub, or an address (s3://, https://); or what `fetch` has found already. `decoder`, `encoder` and
        `audio_encoder` say where the backbones lie now, if they moved; a captioner without an encoder of sound gains
        the `audio_encoder` (`add_sound`).

        `checkpoints` is a registry of one's own (file or address), in place of that in PSEUDOCAP_CHECKPOINTS. With
        `local_files_only` nothing is fetched. The backbones must be those that the adapters were trained between:
        their weights and the tokenizer are compared with what the checkpoint recorded before anything is built.

        `precision` (bfloat16, float16, int8, int4) holds the frozen weights in fewer bits, to caption on small machines
        (docs/small_machines.md); the adapters stay as they are. `dtype` is of the complete network.
        """
        target = pick_device(device)
        check_dtype(dtype)
        check_precision(precision, target, dtype)
        access = Access(local_files_only=local_files_only, token=token)
        source = fetch_once(source, revision=revision, checkpoints=checkpoints, access=access)
        lie = {"decoder": decoder, "encoder": encoder, "audio_encoder": audio_encoder}
        model = cls._between(lie, source.folder, access, as_stored=precision != FULL_PRECISION)
        model.origin = source
        if audio_encoder is not None and not model.config.hears:
            model.add_sound(audio_encoder, **asdict(access))
        if precision == FULL_PRECISION:
            return model.to(target, dtype)
        warn_where_slow(precision, target)
        model.set_precision(precision)
        return model.to(target)

    @classmethod
    def _between(cls, lie: Mapping[str, str | Path | None], folder: Path, access: Access, *, as_stored: bool) -> Self:
        """Put the adapters of a checkpoint between its backbones, which must be those that they were trained with.

        `lie` has the new addresses of those that moved. `as_stored` leaves the decoder's weights as they are: what will
        be packed need not be spread out first.
        """
        config, weights = check_folder(folder, lie)
        if config.hears and AUDIO not in config.encoders:
            raise CheckpointError(f"{folder} attends to {', '.join(config.axes)} and names no encoder of {AUDIO}")
        adapters = read_tensors(weights)
        loaded = load_decoder(
            moved(config.decoder, lie["decoder"]),
            revision=None if lie["decoder"] else config.decoder.revision,
            as_stored=as_stored,
            **asdict(access),
        )
        require_same("decoder", config.decoder, loaded.identity, folder)
        seen, heard, found = load_recorded_encoders(config, lie, folder, access)
        config = config.with_backbones(decoder=loaded.identity, **found)
        widths = _memory_widths(config, seen, heard)
        adapted = loaded.adapt(config, memory_width=widths, adapters=adapters, source=weights)
        return cls(seen, adapted, loaded.tokenizer, config, heard)

    def add_sound(
        self,
        audio_encoder: str | Path,
        *,
        revision: str | None = None,
        moments: float | None = None,
        seed: int = 0,
        local_files_only: bool = False,
        token: str | bool | None = None,
    ) -> None:
        """Let this captioner hear by an encoder of sound, as `from_backbones` takes it: its adapters gain the axes of
        sound, which change no caption before they have learned. `seed` is of their first weights."""
        self.config.require_may_gain_sound()
        access = Access(local_files_only=local_files_only, token=token)
        heard = load_audio_encoder(absolute(audio_encoder), revision=revision, moments=moments, **asdict(access))
        self.gain_sound(heard, seed=seed)
        self.config = _hearing(self.config, heard)

    def save_pretrained(
        self, path: str | Path, *, results: Mapping[str, Any] | None = None, int8: bool = False
    ) -> None:
        """Save adapters and config, what is known of them (`results`: scores, data, regime) and a page that says so.

        No frozen weight is saved. A page that somebody has made their own is left alone. `int8` stores a byte for each
        weight, half of float16; versions before 0.2 cannot read it.
        """
        folder, known = Path(path), {**(results or {}), "pseudocap": __version__}
        beside = {RESULTS_FILE: json.dumps(known, indent=2, ensure_ascii=False) + "\n"}
        if may_write(folder / CARD_FILE):
            beside[CARD_FILE] = card_text(self.config, known, About(license=known.get("license")))
        write_checkpoint(
            folder,
            weights=WEIGHTS_FILE,
            tensors=in_8_bits(self.adapter_state()) if int8 else self.adapter_state(),
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
        audio_encoder: str | None = None,
        results: Mapping[str, Any] | None = None,
        token: str | bool | None = None,
    ) -> Published:
        """Publish the adapters in one commit of `owner/repo`, as `pseudocap push` does a saved checkpoint.

        `decoder`, `encoder` and `audio_encoder` say where others find a backbone that is a directory here.
        """
        named = {"decoder": decoder, "encoder": encoder, "audio_encoder": audio_encoder}
        with tempfile.TemporaryDirectory() as folder:
            self.save_pretrained(folder, results=results)
            parcel = pack_checkpoint(Path(folder), repo, license=license, **named)
            return send(parcel, private=private, pull_request=pull_request, revision=revision, token=token)

    def set_preprocess(self, preprocess: Preprocess) -> None:
        """Change the frames that the captioner takes and that `save_pretrained` records: larger crops, for instance."""
        self.encoder.check_size(preprocess.size)
        if preprocess.frames > MAX_FRAMES:
            raise ConfigError(f"frames must be 1 to {MAX_FRAMES}, not {preprocess.frames}")
        self.config = replace(self.config, preprocess=preprocess)


def preprocess_of(encoder: Encoder, *, num_frames: int | None, size: int | None) -> Preprocess:
    """Return the encoder's preprocessing, or with other frames and pixels, which it must be able to take."""
    frames = encoder.preprocess.frames if num_frames is None else num_frames
    if not 1 <= frames <= MAX_FRAMES:
        raise ConfigError(f"num_frames must be 1 to {MAX_FRAMES}, not {frames}")
    side = encoder.preprocess.size if size is None else size
    encoder.check_size(side)
    return replace(encoder.preprocess, size=side, frames=frames)


def fetch_once(
    source: str | Path | Fetched, *, revision: str | None, checkpoints: str | Path | None, access: Access
) -> Fetched:
    """Fetch a checkpoint by its name; what `fetch` has found already is returned as it is."""
    if not isinstance(source, Fetched):
        return fetch(source, revision=revision, checkpoints=checkpoints, access=access)
    if revision is not None or checkpoints is not None:
        raise InputError("what has been fetched already takes neither revision nor checkpoints: give them to fetch")
    return source


def load_recorded_encoders(
    config: PseudoCapConfig | RetrieverConfig | ValorConfig,
    lie: Mapping[str, str | Path | None],
    folder: Path,
    access: Access,
) -> tuple[Encoder, AudioEncoder | None, dict[str, Backbone]]:
    """Load the encoders that the checkpoint in a folder records, of sight and, where there is one, of sound, from where
    they `lie` now; they must be the same. With them comes what identifies each, by the option that names it."""
    options: dict[str, Any] = asdict(access)

    def address(which: str, recorded: Backbone) -> dict[str, Any]:
        moved_to = lie[which]
        return {
            "source": moved(recorded, moved_to),
            "kind": recorded.kind,
            "revision": None if moved_to else recorded.revision,
            **options,
        }

    seen, heard = load_encoder(**address("encoder", config.encoder)), None
    require_same("encoder", config.encoder, origin_of(seen), folder)
    found = {"encoder": origin_of(seen)}
    if (recorded := config.encoders.get(AUDIO)) is not None:
        heard = load_audio_encoder(**address("audio_encoder", recorded), pitch="pitch" in config.axes)
        require_same("audio_encoder", recorded, origin_of(heard), folder)
        found["audio_encoder"] = origin_of(heard)
        if config.sound_preprocess is not None:
            heard.set_preprocess(config.sound_preprocess)
    return seen, heard, found


def origin_of(encoder: FrozenNetwork) -> Backbone:
    assert encoder.origin is not None, "what loads it names it"
    return encoder.origin


def _hearing(config: PseudoCapConfig, heard: AudioEncoder) -> PseudoCapConfig:
    return config.with_sound(origin_of(heard), heard.axes, heard.preprocess)


def _memory_widths(config: PseudoCapConfig, seen: Encoder, heard: AudioEncoder | None) -> dict[str, int]:
    """Return the width of each axis, of the encoder that gives it."""
    of = {axis: encoder for encoder in (heard, seen) if encoder is not None for axis in encoder.axes}
    return {axis: of[axis].width(axis) for axis in config.axes}
