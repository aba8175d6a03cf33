"""Caption frames: the frozen encoder, the memory, the adapters, the frozen decoder.

Legend of the shape suffixes in this folder: B videos, N captions (a multiple of B), T frames, S patches of a frame,
L tokens, D decoder width, E encoder width, H heads, K head width, V vocabulary.
"""
