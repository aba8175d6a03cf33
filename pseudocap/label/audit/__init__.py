"""People judge pseudolabels beside what was said in the same clip: which pairs, a local page, the answers, a report."""
