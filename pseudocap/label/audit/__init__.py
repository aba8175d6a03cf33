"""Let people judge pseudolabels beside the speech of the same clip: draw pairs, serve a page, store answers, report."""
