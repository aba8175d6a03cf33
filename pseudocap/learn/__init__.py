"""Learn from a folder of videos in one resumable run: label, encode, train, report."""
