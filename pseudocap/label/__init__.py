"""Clips -> pseudolabels: a teacher says what it sees in every clip, and each label says where it came from."""
