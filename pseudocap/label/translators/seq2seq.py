"""Translate by a sequence-to-sequence model of transformers: Marian, M2M-100, NLLB, mBART-50."""

from __future__ import annotations

import functools
import re
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from pseudocap.errors import CheckpointError, ConfigError, first_line
from pseudocap.files.loading_bars import without_loading_bars
from pseudocap.files.sources import check_repo, hub_answers, hub_file, is_cached, resolve_source
from pseudocap.languages import language_facts

NEW_TOKENS = 128
TARGETS = {"zh": ("cmn_Hans", "cmn"), "ar": ("ara",)}  # Marian's further names of a language, by its code
EXAMPLE = (
    "name a translator of transformers, Helsinki-NLP/opus-mt-en-es or facebook/nllb-200-distilled-600M for example"
)


class Seq2SeqTranslator:
    """Translate in batches, by beams. A model of one pair says so in its tokenizer or has no codes of languages; one of
    many is asked through its tokenizer's own codes: ">>spa<<", "es", "es_XX", "spa_Latn"."""

    def __init__(
        self, name: str, *, source: str, target: str, batch_size: int = 32, beams: int = 4, device: str = "cpu"
    ) -> None:
        for option, value in (("batch_size", batch_size), ("beams", beams)):
            if value < 1:
                raise ConfigError(f"{option} is {value} and must be at least 1")
        language_facts(source), language_facts(target)
        self.name, self._device, self._batch_size, self._beams = name, device, batch_size, beams
        self.source, self.target = source, target
        self._tokenizer, self._model, self.revision = _loaded(name, device)
        self._marian = self._model.config.model_type == "marian"
        self._prefix = self._marian_prefix() if self._marian else ""
        self._asked = None if self._marian else self._code(source)
        self._first = None if self._marian else self._tokenizer.convert_tokens_to_ids(self._token(target))

    def _marian_prefix(self) -> str:
        """Return the code of the target that a Marian reads before each text; nothing where it is of one pair."""
        codes = [code.strip("<>") for code in self._tokenizer.supported_language_codes]
        facts = language_facts(self.target)
        for code in (facts.flores[:3], facts.code, facts.flores, *TARGETS.get(facts.code, ())):
            if code in codes:
                return f">>{code}<< "
        pair = self._tokenizer.source_lang, self._tokenizer.target_lang
        if codes or any(given and given != want for given, want in zip(pair, (self.source, self.target), strict=True)):
            found = ", ".join(codes) if codes else " to ".join(str(each) for each in pair)
            raise ConfigError(f"{self.name} does not translate from {self.source} to {self.target}; it has {found}")
        return ""

    def _code(self, language: str) -> str:
        """Return the code of a language as the tokenizer calls it."""
        facts = language_facts(language)
        known = set(self._tokenizer.get_vocab()) | set(self._tokenizer.all_special_tokens)
        known |= {str(token) for token in getattr(self._tokenizer, "lang_token_to_id", {})}
        of_mbart = sorted(token for token in known if re.fullmatch(rf"{facts.code}_[A-Z]{{2}}", token))  # de_DE, es_XX
        found = next((name for name in (facts.flores, *of_mbart, f"__{facts.code}__") if name in known), None)
        if found is None:
            raise ConfigError(f"{self.name} has no code for {facts.name} ({language}) in its tokenizer; {EXAMPLE}")
        return found.strip("_") if found.startswith("__") else found

    def _token(self, language: str) -> str:
        code = self._code(language)
        return f"__{code}__" if code == language else code

    @property
    def settings(self) -> Mapping[str, object]:
        return {
            "translator": self.name,
            "revision": self.revision,
            "source": self.source,
            "target": self.target,
            "beams": self._beams,
            "batch_size": self._batch_size,
        }

    def translate(self, texts: Sequence[str]) -> list[str]:
        """Translate batch after batch, in the order of the texts; an empty text stays empty."""
        found = [""] * len(texts)
        wanted = [index for index, text in enumerate(texts) if text.strip()]
        for first in range(0, len(wanted), self._batch_size):
            batch = wanted[first : first + self._batch_size]
            for index, text in zip(batch, self._batch([texts[index] for index in batch]), strict=True):
                found[index] = " ".join(text.split())
        return found

    @torch.inference_mode()
    def _batch(self, texts: list[str]) -> list[str]:
        if self._asked is not None:  # another translator may share the tokenizer, for the way back
            self._tokenizer.src_lang = self._asked
        prefixed = [f"{self._prefix}{text}" for text in texts]
        inputs = self._tokenizer(prefixed, return_tensors="pt", padding=True, truncation=True).to(self._device)
        options = {} if self._first is None else {"forced_bos_token_id": self._first}
        ids = self._model.generate(
            **inputs, **options, num_beams=self._beams, do_sample=False, max_new_tokens=NEW_TOKENS, max_length=None
        )
        kept = [[number for number in row if number != self._first] for row in ids.tolist()]
        texts_out: list[str] = self._tokenizer.batch_decode(kept, skip_special_tokens=True)
        return texts_out


@functools.lru_cache(maxsize=4)  # one model translates into many languages, and back
def _loaded(name: str, device: str) -> tuple[Any, Any, str | None]:
    """Return tokenizer, model and commit."""
    from transformers import AutoModelForSeq2SeqLM, AutoTokenizer

    folder = Path(resolve_source(name)).expanduser()
    source = str(folder) if folder.is_dir() else check_repo(name)
    offline, revision = not hub_answers(source), None
    try:
        if not folder.is_dir():
            cached = offline and is_cached(source, "config.json")
            revision = hub_file(source, "config.json", local_files_only=cached).parent.name
        options: dict[str, Any] = {"revision": revision, "local_files_only": offline, "trust_remote_code": False}
        with without_loading_bars(), warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # Marian's about sacremoses, which tidies punctuation
            tokenizer: Any = AutoTokenizer.from_pretrained(source, **options)
            model, found = AutoModelForSeq2SeqLM.from_pretrained(
                source, **options, dtype=torch.float32, output_loading_info=True
            )
    except (OSError, ValueError, KeyError, TypeError, ImportError, AssertionError) as error:
        advice = "pip install 'pseudocap[translate]'" if "sentencepiece" in str(error).lower() else EXAMPLE
        raise CheckpointError(f"{name} cannot be loaded as a translator ({first_line(error)}); {advice}") from error
    if lacking := sorted(set(found["missing_keys"]) & {key for key, _ in model.named_parameters()}):
        raise CheckpointError(f"{name} has no weights for {len(lacking)} tensors, such as {lacking[0]}; {EXAMPLE}")
    return tokenizer, model.eval().to(device), revision
