"""Encode frames and sound into a memory with frozen networks."""

from pseudocap.model.encoders.audio import AudioEncoder
from pseudocap.model.encoders.base import Encoder
from pseudocap.model.encoders.load import load_audio_encoder, load_encoder

__all__ = ["AudioEncoder", "Encoder", "load_audio_encoder", "load_encoder"]
