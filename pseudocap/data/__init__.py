"""From the files of corpora to batches."""
