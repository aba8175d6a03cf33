"""Encode frames into a memory with frozen networks."""

from pseudocap.model.encoders.base import Encoder
from pseudocap.model.encoders.load import load_encoder

__all__ = ["Encoder", "load_encoder"]
