"""Write the toy world's BERT: a tokenizer of its words, and the sizes of a small network. It has no weights: VALOR,
which reads and writes texts with it, learns them (`pretrained: false`)."""

from __future__ import annotations

import json
import re
import string
from collections.abc import Iterable
from pathlib import Path

from transformers import BertTokenizer

from pseudocap.files.atomic import write_text

MARKS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
SIZES = {
    "hidden_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 512,
    "max_position_embeddings": 96,
    "type_vocab_size": 2,
}
WORD = re.compile(r"[^\W_]+")
ABOUT = """\
# toy-bert

No weights: the words of the toy world, and the sizes of the small BERT that `pseudocap train valor --config toy` learns
with `pretrained: false` (docs/valor.md).
"""


def write_bert(folder: Path, texts: Iterable[str]) -> int:
    """Write config.json, the tokenizer and a page; return how many words it has. A word that is none of these is
    spelled."""
    words = sorted({word for text in texts for word in WORD.findall(text.lower())})
    letters = [letter for letter in string.ascii_lowercase + string.digits if letter not in words]
    tokens = [*MARKS, *words, *letters, *(f"##{letter}" for letter in string.ascii_lowercase + string.digits)]
    tokenizer = BertTokenizer(vocab={token: number for number, token in enumerate(tokens)})
    tokenizer.save_pretrained(folder)
    compact = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
    write_text(folder / "tokenizer.json", json.dumps(compact, ensure_ascii=False, separators=(",", ":")))
    document = {"architectures": ["BertForMaskedLM"], "model_type": "bert", "vocab_size": len(tokens), **SIZES}
    write_text(folder / "config.json", json.dumps(document, indent=2) + "\n")
    write_text(folder / "README.md", ABOUT)
    return len(words)
