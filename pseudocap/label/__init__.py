"""Turn clips into pseudolabels: a teacher captions every clip, and each label records where it came from."""
