"""Tiny translators in the published formats of Marian, M2M-100, NLLB and mBART-50."""

from __future__ import annotations

import json
import warnings
from functools import cache
from pathlib import Path

TEXTS = [
    "a red ball moves to the left", "a yellow clock spins clockwise", "the dog runs across the grass and stops",
    "una pelota roja se mueve hacia la izquierda", "un perro corre por la hierba", "ein roter Ball rollt nach links",
]  # fmt: skip


def write_marian(folder: Path, *, codes: tuple[str, ...] = (), pair: tuple[str, str] | None = ("en", "es")) -> Path:
    """A Marian of one pair; or of several targets, with codes such as ">>spa<<" in its vocabulary."""
    import torch
    from transformers import MarianConfig, MarianMTModel, MarianTokenizer

    folder.mkdir(parents=True)
    pieces = _sentencepiece(folder / "source")
    (folder / "target.spm").write_bytes((folder / "source.model").read_bytes())
    words = ["</s>", "<unk>", *codes, *(piece for piece in pieces if piece not in ("</s>", "<unk>", "<s>")), "<pad>"]
    (folder / "vocab.json").write_text(json.dumps({word: number for number, word in enumerate(words)}))
    source, target = pair or (None, None)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        tokenizer = MarianTokenizer(
            str(folder / "source.model"), str(folder / "target.spm"), str(folder / "vocab.json"),
            source_lang=source, target_lang=target,
        )  # fmt: skip
    tokenizer.save_pretrained(folder)
    sizes = {"encoder_layers": 1, "decoder_layers": 1, "encoder_attention_heads": 2, "decoder_attention_heads": 2}
    torch.manual_seed(6)
    config = MarianConfig(
        vocab_size=len(words), d_model=16, encoder_ffn_dim=16, decoder_ffn_dim=16, pad_token_id=len(words) - 1,
        eos_token_id=0, decoder_start_token_id=len(words) - 1, forced_eos_token_id=None, init_std=0.6, **sizes,
    )  # fmt: skip
    MarianMTModel(config).save_pretrained(folder)
    return folder


def write_m2m(folder: Path) -> Path:
    """An M2M-100: sentencepiece, a vocabulary, and the codes of a hundred languages after it."""
    from transformers import M2M100Tokenizer

    folder.mkdir(parents=True)
    pieces = _sentencepiece(folder / "sentencepiece.bpe")
    words = ["<s>", "<pad>", "</s>", "<unk>", *(piece for piece in pieces if not piece.startswith("<"))]
    (folder / "vocab.json").write_text(json.dumps({word: number for number, word in enumerate(words)}))
    tokenizer = M2M100Tokenizer(str(folder / "vocab.json"), str(folder / "sentencepiece.bpe.model"))
    tokenizer.save_pretrained(folder)
    _save_m2m(folder, len(words) + 108)
    return folder


def write_nllb(folder: Path) -> Path:
    """An NLLB: M2M-100's model behind a fast tokenizer, with codes such as spa_Latn."""
    from tokenizers import Tokenizer
    from tokenizers.models import BPE
    from tokenizers.pre_tokenizers import Metaspace
    from tokenizers.trainers import BpeTrainer
    from transformers import NllbTokenizer

    bpe = Tokenizer(BPE(unk_token="<unk>"))
    bpe.pre_tokenizer = Metaspace()
    bpe.train_from_iterator(TEXTS, BpeTrainer(vocab_size=80, special_tokens=["<s>", "<pad>", "</s>", "<unk>"]))
    found = json.loads(bpe.to_str())["model"]
    tokenizer = NllbTokenizer(vocab=found["vocab"], merges=[tuple(merge) for merge in found["merges"]])
    tokenizer.save_pretrained(folder)
    _save_m2m(folder, len(tokenizer))
    return folder


def write_mbart(folder: Path) -> Path:
    """An mBART-50: codes such as de_DE and es_XX."""
    import torch
    from transformers import MBart50Tokenizer, MBartConfig, MBartForConditionalGeneration

    pieces = ["<unk>", "<s>", "</s>", *dict.fromkeys(f"\u2581{word}" for text in TEXTS for word in text.split())]
    tokenizer = MBart50Tokenizer(vocab=[(piece, -1.0) for piece in pieces])
    tokenizer.save_pretrained(folder)
    sizes = {"encoder_layers": 1, "decoder_layers": 1, "encoder_attention_heads": 2, "decoder_attention_heads": 2}
    torch.manual_seed(6)
    config = MBartConfig(
        vocab_size=len(tokenizer), d_model=16, encoder_ffn_dim=16, decoder_ffn_dim=16, max_position_embeddings=192,
        init_std=0.6, **sizes,
    )  # fmt: skip
    MBartForConditionalGeneration(config).save_pretrained(folder)
    return folder


def _save_m2m(folder: Path, vocabulary: int) -> None:
    import torch
    from transformers import M2M100Config, M2M100ForConditionalGeneration

    torch.manual_seed(6)
    sizes = {"encoder_layers": 1, "decoder_layers": 1, "encoder_attention_heads": 2, "decoder_attention_heads": 2}
    config = M2M100Config(
        vocab_size=vocabulary, d_model=16, encoder_ffn_dim=16, decoder_ffn_dim=16, max_position_embeddings=192,
        init_std=0.6, **sizes,
    )  # fmt: skip
    M2M100ForConditionalGeneration(config).save_pretrained(folder)


@cache
def _trained() -> tuple[bytes, tuple[str, ...]]:
    import io

    import sentencepiece

    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(TEXTS), model_writer=model, vocab_size=60, hard_vocab_limit=False, minloglevel=2
    )
    loaded = sentencepiece.SentencePieceProcessor(model_proto=model.getvalue())
    return model.getvalue(), tuple(loaded.id_to_piece(number) for number in range(loaded.get_piece_size()))


def _sentencepiece(path: Path) -> tuple[str, ...]:
    model, pieces = _trained()
    path.with_name(f"{path.name}.model").write_bytes(model)
    return pieces
