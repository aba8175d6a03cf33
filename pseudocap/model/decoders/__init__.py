"""Adapt frozen language models with adapters between their layers."""

from pseudocap.model.decoders.base import Decoder
from pseudocap.model.decoders.load import LoadedDecoder, load_decoder

__all__ = ["Decoder", "LoadedDecoder", "load_decoder"]
