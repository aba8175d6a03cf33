"""Load a frozen language model with tokenizer and identity from a directory, a repo of the hub or a GGUF file.

config.json's `model_type` decides the family: OPT has its own, every other causal language model of transformers is
loaded by `AutoModelForCausalLM`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING, MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

from pseudocap.errors import CheckpointError, first_line
from pseudocap.files.loading_bars import without_loading_bars
from pseudocap.files.sources import HUB_GGUF, check_gguf, find_file, find_gguf, pin_revision, read_json, resolve_source
from pseudocap.model.config import Backbone, PseudoCapConfig
from pseudocap.model.decoders.base import Decoder
from pseudocap.model.decoders.causal import AdaptedCausalLM, require_adaptable
from pseudocap.model.decoders.opt import AdaptedOPT
from pseudocap.model.weights import (
    fingerprint,
    only_dtype,
    read_tensors,
    stored_in_8_bits,
    transformers_access,
    transformers_reason,
    widen,
)

FAMILIES: dict[str, type[Decoder]] = {"opt": AdaptedOPT}  # by model_type; all others are AdaptedCausalLM


@dataclass(frozen=True, kw_only=True, slots=True)
class LoadedDecoder:
    """Hold a frozen language model with its tokenizer, as loaded; adapters are yet to come (`adapt`)."""

    lm: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    identity: Backbone

    @property
    def depth(self) -> int:
        """Return how many layers there are for adapters to stand before."""
        return int(self.lm.config.num_hidden_layers)

    def adapt(
        self,
        config: PseudoCapConfig,
        *,
        memory_width: int | Mapping[str, int],
        adapters: Mapping[str, torch.Tensor] | None = None,
        source: str | Path = "",
    ) -> Decoder:
        """Build the decoder with the adapters of a config: those stored in the file `source`, or new ones."""
        family = FAMILIES.get(self.lm.config.model_type, AdaptedCausalLM)
        settings: dict[str, Any] = {"memory_width": memory_width, "tokenizer": self.tokenizer}
        if adapters is None:
            return family(self.lm, config, **settings)
        return family.from_adapters(self.lm, config, adapters, source=source, **settings)


def load_decoder(
    source: str | Path,
    *,
    revision: str | None = None,
    local_files_only: bool = False,
    token: str | bool | None = None,
    as_stored: bool = False,
) -> LoadedDecoder:
    """Load a causal language model in float32, which holds whatever its file holds exactly, so that the fingerprint is
    of the file and no caller gets weights that were rounded on the way. `as_stored` leaves weights in the type that all
    of a safetensors file has, as pages of that file. The weights of a GGUF file are what its fewer bits stand for.
    """
    access: dict[str, Any] = {"revision": revision, "local_files_only": local_files_only, "token": token}
    if (gguf := _gguf_file(source, access)) is not None:
        return _load(source, str(gguf.parent), None, {"gguf_file": gguf.name, "revision": revision})
    config_path = find_file(source, "config.json", **access)
    access["revision"] = pin_revision(source, config_path, revision)
    if (kind := read_json(config_path).get("model_type")) not in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES:
        raise CheckpointError(
            f"{config_path} describes a {kind!r}; the decoder must be a causal language model that transformers knows "
            "(OPT, GPT-2, Llama, Qwen2, XGLM, ...)"
        )
    access = transformers_access(source, access)
    return _load(source, resolve_source(source), _single_file(source, access), access, as_stored=as_stored)


def _load(
    source: str | Path, address: str, file: Path | None, access: Mapping[str, Any], *, as_stored: bool = False
) -> LoadedDecoder:
    lm, info = _read(source, address, file, access)
    dtype = lm.dtype
    if dtype != torch.float32 and any(buffer.dtype == dtype for buffer in lm.buffers()):
        file = None  # what the model works out itself (XGLM's sinusoids) would be rounded: all of it in float32
        lm, info = _read(source, address, file, access)
    try:
        tokenizer = AutoTokenizer.from_pretrained(address, **access, trust_remote_code=False)
    except Exception as error:  # transformers meets damaged tokenizer files with errors of every kind
        raise CheckpointError(f"the tokenizer in {source} could not be loaded: {first_line(error)}") from error
    # Surplus keys are left to transformers' own report: published OPTs carry some (decoder.version) that mean nothing.
    for what in ("missing_keys", "mismatched_keys"):
        if info[what]:
            names = ", ".join(str(name) for name in sorted(info[what], key=str)[:4])
            raise CheckpointError(f"the weights in {source} have {len(info[what])} {what.replace('_', ' ')}: {names}")
    check_tokenizer(tokenizer, lm, source)
    if lm.config.model_type not in FAMILIES:
        require_adaptable(lm.eval(), source)
    if file is not None and dtype != torch.float32 and not as_stored:
        widen(lm, file)
    lm.config.dtype = torch.float32  # what is computed in, whatever the file has
    identity = Backbone(
        source=str(source),
        revision=access.get("revision"),
        fingerprint=fingerprint(lm.named_parameters()),
        tokenizer=tokenizer_hash(tokenizer),
    )
    return LoadedDecoder(lm=lm, tokenizer=tokenizer, identity=identity)


def _read(
    source: str | Path, address: str, file: Path | None, access: Mapping[str, Any]
) -> tuple[PreTrainedModel, dict[str, Any]]:
    """Read the model in the type of its file, or without one in float32, and transformers' report on its keys."""
    options: dict[str, Any] = {**access, "trust_remote_code": False, "output_loading_info": True}
    try:
        options["dtype"] = torch.float32 if file is None else only_dtype(file)
        with without_loading_bars():
            if file is None or not stored_in_8_bits(file):
                lm, info = AutoModelForCausalLM.from_pretrained(address, **options)
            else:
                config = AutoConfig.from_pretrained(address, **access)
                lm, info = MODEL_FOR_CAUSAL_LM_MAPPING[type(config)].from_pretrained(
                    None, config=config, state_dict=read_tensors(file), dtype=torch.float32, output_loading_info=True
                )
    except Exception as error:  # transformers meets damaged configs and weights with errors of every kind
        raise CheckpointError(f"the decoder in {source} could not be loaded: {transformers_reason(error)}") from error
    return lm, info


def _single_file(source: str | Path, access: Mapping[str, Any]) -> Path | None:
    """Return the safetensors file of all weights; None where they are in several, or in PyTorch's own format."""
    try:
        return find_file(source, "model.safetensors", **access)
    except CheckpointError:
        return None


def _gguf_file(source: str | Path, access: Mapping[str, Any]) -> Path | None:
    """Return the GGUF file that is named, here or on the hub, or that is all a directory holds of a model."""
    named = str(source)
    path = find_gguf(named, **access) if HUB_GGUF.fullmatch(named) else Path(resolve_source(source)).expanduser()
    files = [path]
    if path.is_dir():
        files = [] if (path / "config.json").is_file() else sorted(path.glob("*.gguf"))
        if len(files) > 1:
            names = ", ".join(file.name for file in files)
            raise CheckpointError(f"{source} holds {len(files)} GGUF files: name one of {names}")
    if not files or files[0].suffix != ".gguf":
        return None
    check_gguf(files[0])
    return files[0]


def check_tokenizer(tokenizer: PreTrainedTokenizerBase, lm: PreTrainedModel, source: str | Path) -> None:
    """Refuse the empty tokenizer that transformers makes up where files are absent; it must be the decoder's own."""
    config, needed = lm.config, "are tokenizer_config.json, vocab.json and merges.txt there, or tokenizer.json?"
    for name in ("bos_token_id", "eos_token_id", "pad_token_id") if config.model_type == "opt" else ():
        if getattr(tokenizer, name) != getattr(config, name):
            raise CheckpointError(
                f"the tokenizer in {source} has {name} {getattr(tokenizer, name)} and the decoder "
                f"{getattr(config, name)}; {needed}"
            )
    vocabulary = lm.get_input_embeddings().weight.shape[0]
    # A byte-level BPE has the 256 bytes at least.
    if not (256 if config.model_type == "opt" else 1) <= len(tokenizer) <= vocabulary:
        raise CheckpointError(
            f"the tokenizer in {source} has {len(tokenizer)} tokens for the decoder's vocabulary of {vocabulary}"
        )
    known = set(tokenizer(PROBES[0], add_special_tokens=False)["input_ids"]) - {tokenizer.unk_token_id}
    if not known or tokenizer.eos_token_id is None:
        lacks = "an EOS token" if known else f"any word of {PROBES[0]!r}"
        raise CheckpointError(f"the tokenizer in {source} does not have {lacks}; {needed}")


# Text whose encoding shows how a tokenizer splits, cases and joins, beside its vocabulary.
PROBES = ("a man is playing guitar", " Two DOGS run, don't they?", "3.5 m — café\n\n  end", "<unk></s>")


def tokenizer_hash(tokenizer: PreTrainedTokenizerBase) -> str:
    """Hash what a tokenizer does, not how a library version writes it: vocabulary, special ids, sample encodings."""
    behaviour = {
        "vocabulary": sorted(tokenizer.get_vocab().items()),
        "special": [tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id, tokenizer.unk_token_id],
        "probes": [tokenizer(text, add_special_tokens=False)["input_ids"] for text in PROBES],
    }
    return hashlib.sha256(json.dumps(behaviour, ensure_ascii=False).encode()).hexdigest()
