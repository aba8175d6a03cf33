"""Read published corpora and your own captions as rows: one file per corpus."""

from pseudocap.data.corpora.base import Corpus as Corpus  # where it was up to version 0.1
