"""Read published corpora and your own captions as rows: one file per corpus."""
