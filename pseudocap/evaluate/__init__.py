"""Measure a captioner on held-out videos."""
