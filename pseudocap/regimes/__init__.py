"""How a captioner learns: the losses now, the five regimes and fine-tuning around them later."""
