"""Recognise speech by a Whisper of faster-whisper: chunks of many files in one batch, words with their times.

    recogniser = SpeechRecogniser(find_whisper("base"))
    (heard,) = recogniser.hear([Chunk(sound=sound, start=0.0)])      # heard.language, heard.words

faster-whisper's own batches hold chunks of one file and of one language. Here a batch is encoded once, each chunk's
language is detected from that, and chunks of one language are decoded together. There is no sampling: a text that
repeats itself is decoded again with no three tokens twice, so the same batch always gives the same words.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pseudocap.errors import ConfigError, nearest
from pseudocap.label.transcripts.chunks import LONGEST, RATE
from pseudocap.label.transcripts.weights import WhisperWeights

# Whisper's own thresholds (section 4.5 of its paper)
REPEATS = 2.4  # ratio of compression from which a text repeats itself
NO_SPEECH, UNSURE = 0.6, -1.0  # the probability of silence, and the mean log-probability of tokens below it
DTYPES = ("auto", "float32", "float16", "bfloat16", "int8", "int8_float16")
OPENING, CLOSING = "\"'“¿([{-", "\"'.。,，!！?？:：”)]}、"  # punctuation that joins the next word, or the last one


@dataclass(frozen=True, kw_only=True, slots=True)
class Chunk:
    """Hold at most 30 s of sound, when it starts in its file, and the file's name and language where they are known:
    chunks of one file have the language that is detected in the first of them."""

    sound: np.ndarray
    start: float
    file: str | None = None
    language: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class TimedWord:
    """Hold a word as it is spelled, with the space before it, and its times in the file."""

    start: float
    end: float
    text: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Heard:
    """Hold the words of a chunk, none where nobody speaks, and the language that was detected or given."""

    language: str
    words: tuple[TimedWord, ...]


class SpeechRecogniser:
    """Recognise chunks of sound. `settings` is all that the words depend on besides the weights and the batches."""

    def __init__(
        self,
        weights: WhisperWeights,
        *,
        language: str | None = None,
        translate: bool = False,
        beams: int = 5,
        device: str = "auto",
        dtype: str = "auto",
    ) -> None:
        if beams < 1:
            raise ConfigError(f"beams is {beams} and must be at least 1")
        if dtype not in DTYPES:
            raise ConfigError(f"--dtype is {dtype!r}{nearest(dtype, DTYPES)} and must be one of {', '.join(DTYPES)}")
        check_language(language)
        device = _device(device)
        if dtype == "auto":
            dtype = "float16" if device == "cuda" else "int8"
        self._model = weights.load(device=device, dtype=dtype)
        self._beams, self._language = beams, language
        self._task = "translate" if translate else "transcribe"
        if not self._model.model.is_multilingual:
            if translate or language not in (None, "en"):
                raise ConfigError(
                    f"--model {weights.name} knows English alone: leave --translate and --language out, or name a "
                    "multilingual model"
                )
            self._language = "en"
        self.settings: Mapping[str, object] = {
            "language": language,
            "task": self._task,
            "beams": beams,
            "dtype": dtype,
        }

    def hear(self, chunks: Sequence[Chunk]) -> list[Heard]:
        """Recognise a batch of chunks, and return what is heard in each."""
        from faster_whisper.audio import pad_or_trim

        features = np.stack([pad_or_trim(self._model.feature_extractor(each.sound)[..., :-1]) for each in chunks])
        encoded = self._model.encode(features)
        languages = self._languages(chunks, encoded)
        words: dict[int, tuple[TimedWord, ...]] = {}
        for language in dict.fromkeys(languages):
            rows = [row for row, each in enumerate(languages) if each == language]
            part = encoded if len(rows) == len(chunks) else _rows(encoded, rows)
            words |= zip(rows, self._words(part, [chunks[row] for row in rows], language), strict=True)
        return [Heard(language=language, words=words[row]) for row, language in enumerate(languages)]

    def _languages(self, chunks: Sequence[Chunk], encoded: Any) -> list[str]:
        if self._language is not None:
            return [self._language] * len(chunks)
        if all(each.language for each in chunks):
            return [each.language or "" for each in chunks]
        of_file: dict[str | int, str] = {}
        for row, (each, found) in enumerate(zip(chunks, self._model.model.detect_language(encoded), strict=True)):
            of_file.setdefault(row if each.file is None else each.file, each.language or found[0][0][2:-2])
        return [of_file[row if each.file is None else each.file] for row, each in enumerate(chunks)]

    def _words(self, encoded: Any, chunks: Sequence[Chunk], language: str) -> list[tuple[TimedWord, ...]]:
        """Decode chunks of one language, and align the words with the sound."""
        from faster_whisper.tokenizer import Tokenizer
        from faster_whisper.transcribe import get_compression_ratio, merge_punctuations

        model = self._model
        tokenizer = Tokenizer(model.hf_tokenizer, model.model.is_multilingual, task=self._task, language=language)
        tokens = self._decode(encoded, len(chunks), tokenizer)
        texts = [tokenizer.decode(each) for each in tokens]
        if again := [row for row, text in enumerate(texts) if text and get_compression_ratio(text) > REPEATS]:
            other = self._decode(_rows(encoded, again), len(again), tokenizer, no_repeat_ngram_size=3)
            for row, each in zip(again, other, strict=True):
                tokens[row] = each
        spoken = [row for row, each in enumerate(tokens) if each]
        found: list[tuple[TimedWord, ...]] = [()] * len(chunks)
        if not spoken:
            return found
        # of the sound that is no padding, in frames; Whisper's positions are of two
        frames = [min(LONGEST, math.ceil(len(chunks[row].sound) / RATE)) * model.frames_per_second for row in spoken]
        part = encoded if len(spoken) == len(chunks) else _rows(encoded, spoken)
        aligned = model.find_alignment(tokenizer, [tokens[row] for row in spoken], part, frames)
        for row, alignment in zip(spoken, aligned, strict=True):
            merge_punctuations(alignment, OPENING, CLOSING)
            found[row] = tuple(_word(each, chunks[row]) for each in alignment if each["word"].strip())
        return found

    def _decode(self, encoded: Any, count: int, tokenizer: Any, **options: Any) -> list[list[int]]:
        """Return the tokens of each text; none of what is more likely silence."""
        from faster_whisper.transcribe import get_suppressed_tokens

        prompt = self._model.get_prompt(tokenizer, [], without_timestamps=True)
        results = self._model.model.generate(
            encoded,
            [prompt] * count,
            beam_size=self._beams,
            max_length=self._model.max_length,
            suppress_tokens=[-1, *get_suppressed_tokens(tokenizer, [-1])],  # the model's own, and faster-whisper's
            return_scores=True,
            return_no_speech_prob=True,
            **options,
        )
        return [
            []
            if each.no_speech_prob > NO_SPEECH and each.scores[0] < UNSURE
            else [token for token in each.sequences_ids[0] if token < tokenizer.eot]
            for each in results
        ]


def check_language(language: str | None) -> None:
    """Refuse a code that Whisper has not; nothing heavy is imported where there is none."""
    if language is None:
        return
    from faster_whisper.tokenizer import _LANGUAGE_CODES

    if language not in _LANGUAGE_CODES:
        raise ConfigError(
            f"--language is {language!r}{nearest(language, _LANGUAGE_CODES)} and must be a code such as en, de or zh; "
            "leave it out to have it detected"
        )


def _device(device: str) -> str:
    import ctranslate2

    gpus = ctranslate2.get_cuda_device_count()
    if device not in ("auto", "cpu", "cuda"):
        raise ConfigError(f"--device is {device!r} and must be auto, cpu or cuda")
    if device == "cuda" and not gpus:
        raise ConfigError("--device cuda: there is no GPU that CTranslate2 sees; take cpu or auto")
    return ("cuda" if gpus else "cpu") if device == "auto" else device


def _rows(encoded: Any, rows: Sequence[int]) -> Any:
    """Return some rows of what is encoded."""
    import ctranslate2

    there = encoded.to_device(ctranslate2.Device.cpu) if encoded.device != "cpu" else encoded
    taken = ctranslate2.StorageView.from_array(np.ascontiguousarray(np.asarray(there)[list(rows)]))
    return taken.to_device(ctranslate2.Device.cuda) if encoded.device != "cpu" else taken


def _word(aligned: Mapping[str, Any], chunk: Chunk) -> TimedWord:
    length = len(chunk.sound) / RATE
    start, end = (min(float(aligned[name]), length) for name in ("start", "end"))
    return TimedWord(start=chunk.start + start, end=chunk.start + end, text=aligned["word"])
