"""Measure ratios against named alternatives, interleaved in one process, medians of repeats."""
