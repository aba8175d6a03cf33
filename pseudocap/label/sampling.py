"""Sample tokens independently of what else is in the batch: noise is a function of (row's key, step, token).

A token is drawn by adding Gumbel noise to the log-probabilities and taking the largest, which is a draw from their
softmax (Gumbel, 1954). The noise comes from a hash of the key, so the same clip gets the same noise in any batch,
worker or run; transformers' own sampling draws from one stream for the whole batch.
"""

from __future__ import annotations

import torch
from transformers import LogitsProcessor

# Of splitmix64 (Steele, Lea and Flood, 2014), as signed 64-bit numbers.
_STEP, _FIRST, _SECOND = (
    number - (1 << 64 if number >> 63 else 0) for number in (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB)
)


def gumbel(keys: torch.Tensor, step: int, width: int) -> torch.Tensor:
    """Return noise [N, width] in float64 for rows with these int64 keys, the same on every device but for rounding."""
    base = _mixed(keys + _mixed(torch.tensor(step, dtype=torch.int64, device=keys.device)))
    counter = torch.arange(1, width + 1, dtype=torch.int64, device=keys.device) * _STEP
    bits = _shifted(_mixed(base[:, None] + counter), 11)  # 53 of them, evenly spread
    uniform = (bits.double() + 0.5) * 2.0**-53
    return -torch.log(-torch.log(uniform))


def _mixed(x: torch.Tensor) -> torch.Tensor:
    x = (x ^ _shifted(x, 30)) * _FIRST
    x = (x ^ _shifted(x, 27)) * _SECOND
    return x ^ _shifted(x, 31)


def _shifted(x: torch.Tensor, by: int) -> torch.Tensor:
    """Shift to the right, with zeros from the left: torch copies the sign."""
    return (x >> by) & ((1 << (64 - by)) - 1)


def nucleus(log_probs: torch.Tensor, top_p: float) -> torch.Tensor:
    """Keep the likeliest tokens that together have at least `top_p`; give minus infinity to the others."""
    ordered, indices = log_probs.sort(dim=-1, descending=True, stable=True)
    probs = ordered.exp()
    beyond = probs.cumsum(dim=-1) - probs >= top_p  # those before them have enough; the first stays in any case
    beyond[..., 0] = False
    return log_probs.masked_fill(beyond.scatter(-1, indices, beyond), -torch.inf)


class KeyedSampling(LogitsProcessor):
    """Choose every next token in place of transformers, and record how likely the model finds it.

    For `generate(do_sample=True, top_k=0, ...)`, the last of the processors. Without `top_p` the likeliest is taken.
    """

    def __init__(self, keys: torch.Tensor, *, top_p: float | None, temperature: float = 1.0) -> None:
        self._keys = keys
        self._top_p = top_p
        self._temperature = temperature
        self._log_probs: list[torch.Tensor] = []

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        model = scores.float().log_softmax(dim=-1)
        wanted = model
        if self._top_p is not None:
            keys = self._keys.to("cpu" if scores.device.type == "mps" else scores.device)  # MPS has no float64
            wanted = nucleus((model / self._temperature).log_softmax(dim=-1), self._top_p).double().to(keys.device)
            wanted = wanted + gumbel(keys, len(self._log_probs), scores.shape[-1])
        token = wanted.argmax(dim=-1, keepdim=True).to(scores.device)
        self._log_probs.append(model.gather(-1, token)[:, 0])
        return torch.full_like(scores, -torch.inf).scatter(-1, token, 0.0)

    @property
    def steps(self) -> int:
        """Return how many tokens have been chosen for each row."""
        return len(self._log_probs)

    def of_captions(self, sequences: torch.Tensor, ends: list[int]) -> tuple[list[float], list[int]]:
        """Return the log-probability of every caption up to its end mark, and how many tokens that is."""
        steps = torch.stack(self._log_probs, dim=1)
        ended = torch.isin(sequences[:, -steps.shape[1] :], torch.tensor(ends, device=sequences.device))
        counted = ended.long().cumsum(dim=1) - ended.long() == 0  # up to and with the first end mark
        return (steps.double() * counted).sum(dim=1).tolist(), counted.sum(dim=1).tolist()
