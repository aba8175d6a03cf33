"""What tests share: makers of small films, tars, corpora and backbones, and servers that stand in for real ones."""
