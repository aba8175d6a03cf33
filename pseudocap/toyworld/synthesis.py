"""Synthesise each sound of the world as a waveform: hits, tones and filtered noise, in numpy.

A sound is a function of its length, its pitch, a factor around 1, and a generator; `waveform` evens them in loudness.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np

Array = np.ndarray
Rng = np.random.Generator
RATE = 16_000  # samples a second
BLOCK = 2**15  # samples of noise, which repeat
PENTATONIC = (0, 2, 4, 7, 9, 12, 14, 16)  # semitones
FULL = 0.25  # the root mean square that a sound has at loudness 1, where it sounds
Sound = Callable[[int, float, Rng], Array]  # samples, pitch, generator to a waveform


def _times(count: int) -> Array:
    return np.arange(count, dtype=np.float32) / np.float32(RATE)


def _sine(frequency: float | Array, count: int) -> Array:
    """Return a sine; of a frequency that changes, its phase is summed."""
    if isinstance(frequency, np.ndarray):
        return np.sin(2 * np.pi * np.cumsum(frequency, dtype=np.float64) / RATE).astype(np.float32)
    return np.sin(np.float32(2 * np.pi * frequency) * _times(count))


def _saw(frequency: float | Array, count: int) -> Array:
    steps = np.broadcast_to(np.asarray(frequency, np.float64) / RATE, count)
    return (2 * (np.cumsum(steps) % 1) - 1).astype(np.float32)


def hiss(count: int, rng: Rng) -> Array:
    """Return white noise that repeats every two seconds, which nobody hears and costs little."""
    return np.resize(rng.standard_normal(min(count, BLOCK), dtype=np.float32), count)


def _noise(count: int, rng: Rng, low: float, high: float) -> Array:
    """Return noise of a band of frequencies, with soft edges."""
    size = min(BLOCK, 1 << (count - 1).bit_length())
    spectrum = np.fft.rfft(rng.standard_normal(size, dtype=np.float32))
    frequencies = np.arange(len(spectrum), dtype=np.float32) * np.float32(RATE / size)
    rise, fall = (frequencies - 0.8 * low) / (0.2 * low + 1), (1.2 * high - frequencies) / (0.2 * high)
    spectrum *= np.clip(rise, 0, 1) * np.clip(fall, 0, 1)
    return np.resize(np.fft.irfft(spectrum, size).astype(np.float32), count)


def _decay(count: int, seconds: float) -> Array:
    """Fall to a thousandth in so many seconds, after a rise of three milliseconds."""
    times = _times(count)
    return np.exp(times * np.float32(-6.9 / seconds)) * np.minimum(times / np.float32(0.003), 1)


def _pulses(count: int, rate: float, sharpness: float = 1.0) -> Array:
    """Rise and fall so many times a second."""
    return (0.5 - 0.5 * np.cos(np.float32(2 * np.pi * rate) * _times(count))) ** np.float32(sharpness)


def _every(count: int, rate: float, rng: Rng, *, unsteady: float = 0.1) -> list[int]:
    """List the samples of hits, so many a second, the first at once."""
    gaps = RATE / rate * (1 + unsteady * rng.uniform(-1, 1, size=1 + int(count / RATE * rate * 1.3)))
    starts = np.cumsum(gaps) - gaps[0]
    return [int(start) for start in starts if start < count]


def _placed(count: int, starts: Iterable[int], hit: Callable[[int], Array]) -> Array:
    """Add a hit at each start; `hit` is given its number."""
    total = np.zeros(count, np.float32)
    for number, start in enumerate(starts):
        wave = hit(number)[: count - start]
        total[start : start + len(wave)] += wave
    return total


def _bell_tone(frequency: float, seconds: float, partials: Sequence[float] = (1, 2, 2.4, 3, 4.5)) -> Array:
    count = int(seconds * RATE)
    tones = (
        _sine(frequency * partial, count) * _decay(count, seconds / partial**0.5) / partial for partial in partials
    )
    return np.sum(list(tones), axis=0)


def _hump(count: int) -> Array:
    """Go from 0 to 1 and back."""
    return np.maximum(np.sin(np.pi * np.linspace(0, 1, count, dtype=np.float32)), 0)


def _thump(pitch: float, seconds: float = 0.2) -> Array:
    count = int(seconds * RATE)
    return _sine(pitch * (60 + 90 * np.exp(-30 * _times(count))), count) * _decay(count, seconds)


def _burst(rng: Rng, low: float, high: float, seconds: float) -> Array:
    count = int(seconds * RATE)
    return _noise(count, rng, low, high) * _decay(count, seconds)


def engine(count: int, pitch: float, rng: Rng) -> Array:
    drift = 1 + 0.06 * np.sin(2 * np.pi * 0.4 * _times(count) + rng.uniform(0, 6))
    return np.tanh(2 * _saw(62 * pitch * drift, count)) * (0.6 + 0.4 * _pulses(count, 15 * pitch))


def train(count: int, pitch: float, rng: Rng) -> Array:
    chugs = _noise(count, rng, 400, 2600 * pitch) * _pulses(count, 3.2 * pitch, 3)
    return chugs + 0.02 * _saw(55 * pitch, count)


def jet(count: int, pitch: float, rng: Rng) -> Array:
    return _noise(count, rng, 80, 1400 * pitch) + 0.12 * _sine(2300 * pitch, count)


def rotor(count: int, pitch: float, rng: Rng) -> Array:
    return _noise(count, rng, 60, 500 * pitch) * _pulses(count, 11 * pitch, 4)


def footsteps(count: int, pitch: float, rng: Rng) -> Array:
    def step(number: int) -> Array:
        wave = 0.8 * _thump(pitch * (1.0 if number % 2 else 1.2), 0.12)
        return wave + 0.5 * _burst(rng, 700 * pitch, 2500 * pitch, 0.12)

    return _placed(count, _every(count, 2.4, rng), step)


def beeping(count: int, pitch: float, rng: Rng) -> Array:
    notes = rng.integers(0, len(PENTATONIC), size=count // 1000 + 9)
    length = int(0.11 * RATE)

    def beep(number: int) -> Array:
        return np.sign(_sine(880 * pitch * 2 ** (PENTATONIC[notes[number]] / 12), length)) * _decay(length, 0.4)

    return _placed(count, _every(count, 5, rng, unsteady=0.02), beep)


def rustling(count: int, pitch: float, rng: Rng) -> Array:
    return _noise(count, rng, 3000 * pitch, 7000) * _pulses(count, 2.6, 2) * (0.6 + 0.3 * hiss(count, rng))


def flapping(count: int, pitch: float, rng: Rng) -> Array:
    return _noise(count, rng, 250 * pitch, 1300 * pitch) * _pulses(count, 6.5 * pitch, 2)


def splashing(count: int, pitch: float, rng: Rng) -> Array:
    waves = _pulses(count, 1.2 * pitch, 2) + 0.25 * _pulses(count, 3.1 * pitch)
    return _noise(count, rng, 700 * pitch, 5500) * waves


def rolling(count: int, pitch: float, rng: Rng) -> Array:
    return _noise(count, rng, 90, 420 * pitch) * (0.35 + 0.65 * _pulses(count, 3.6 * pitch))


def scraping(count: int, pitch: float, rng: Rng) -> Array:
    return _noise(count, rng, 1500 * pitch, 3600 * pitch) * (0.25 + 0.75 * _pulses(count, 26 * pitch, 2))


def thumping(count: int, pitch: float, rng: Rng) -> Array:
    starts = [0, count // 3, 2 * count // 3, max(0, count - RATE // 8)]
    return _placed(count, starts, lambda number: _thump(1.6 * pitch, 0.3))


def springing(count: int, pitch: float, rng: Rng) -> Array:
    length = int(0.55 * RATE)
    times = _times(length)
    wave = _sine(pitch * 330 * (1 + 0.5 * np.sin(2 * np.pi * 17 * times) * np.exp(-4 * times)), length)
    return _placed(count, [0, count // 2], lambda number: wave * _decay(length, 0.6))


def crash(count: int, pitch: float, rng: Rng) -> Array:
    wave = _burst(rng, 300, 6500, 0.7)
    wave[: int(0.2 * RATE)] += 2 * _thump(pitch, 0.2)
    return _placed(count, [max(0, count - int(0.7 * RATE))], lambda number: wave)


def whoosh(count: int, pitch: float, rng: Rng) -> Array:
    rise = _hump(count)
    low, high = _noise(count, rng, 250, 900 * pitch), _noise(count, rng, 900, 3200 * pitch)
    return (low * (1 - rise) + high * rise) * rise


def whirring(count: int, pitch: float, rng: Rng) -> Array:
    return _saw(210 * pitch, count) * (0.4 + 0.6 * _pulses(count, 9)) + 0.3 * _sine(840 * pitch, count)


def rising(count: int, pitch: float, rng: Rng) -> Array:
    return _sine(pitch * 300 * 5 ** np.linspace(0, 1, count), count)


def falling(count: int, pitch: float, rng: Rng) -> Array:
    return rising(count, pitch, rng)[::-1]


def chime(count: int, pitch: float, rng: Rng) -> Array:
    def note(number: int) -> Array:
        return _bell_tone(1600 * pitch * 2 ** (PENTATONIC[number % 6] / 12), 0.6, (1, 2.7))

    return _placed(count, _every(count, 8, rng, unsteady=0.05)[:12], note)


def creaking(count: int, pitch: float, rng: Rng) -> Array:
    sweep = pitch * (38 + 40 * np.linspace(0, 1, count) + 8 * np.sin(5 * _times(count)))
    return np.maximum(_saw(sweep, count) - 0.6, 0) * _sine(950 * pitch, count)


def clicking(count: int, pitch: float, rng: Rng) -> Array:
    middle = count // 2
    return _placed(count, [middle, middle + RATE // 9], lambda number: _burst(rng, 1800 * pitch, 6000, 0.05))


def rattling(count: int, pitch: float, rng: Rng) -> Array:
    return _placed(count, _every(count, 13, rng, unsteady=0.3), lambda number: _burst(rng, 2200 * pitch, 6500, 0.06))


def popping(count: int, pitch: float, rng: Rng) -> Array:
    length = int(0.08 * RATE)
    wave = _sine(pitch * np.linspace(350, 1100, length), length) * _decay(length, 0.12)
    return _placed(count, [count // 3, count // 2, 2 * count // 3], lambda number: wave)


def knocking(count: int, pitch: float, rng: Rng) -> Array:
    def knock(number: int) -> Array:
        wave = _burst(rng, 500 * pitch, 1500 * pitch, 0.09)
        return wave + _bell_tone(260 * pitch, 0.09, (1, 1.6))

    middle, gap = count // 2, int(0.16 * RATE)
    return _placed(count, [middle, min(count - 1, middle + gap)], knock)


def pouring(count: int, pitch: float, rng: Rng) -> Array:
    length = int(0.05 * RATE)

    def bubble(number: int) -> Array:
        return _sine(pitch * float(rng.uniform(500, 1400)) * np.linspace(1, 1.5, length), length) * _decay(length, 0.06)

    return 0.4 * _noise(count, rng, 600, 2600 * pitch) + 1.2 * _placed(
        count, _every(count, 22, rng, unsteady=0.6), bubble
    )


def crunching(count: int, pitch: float, rng: Rng) -> Array:
    def bite(number: int) -> Array:
        return _burst(rng, 900 * pitch, 5000, 0.14) * (0.2 + _pulses(int(0.14 * RATE), 60, 3))

    return _placed(count, _every(count, 3.4, rng), bite)


def barking(count: int, pitch: float, rng: Rng) -> Array:
    length = int(0.18 * RATE)

    def bark(number: int) -> Array:
        wave = np.tanh(3 * _saw(pitch * np.linspace(420, 240, length), length))
        return (wave + _burst(rng, 500, 1800, 0.18)) * _hump(length) ** 0.5

    return _placed(count, _every(count, 2.2, rng, unsteady=0.3), bark)


def mewing(count: int, pitch: float, rng: Rng) -> Array:
    length = int(0.7 * RATE)
    path = np.interp(np.linspace(0, 1, length), [0, 0.35, 1], [620, 880, 520])
    wave = _sine(pitch * path, length) + 0.6 * _sine(2 * pitch * path, length) + 0.4 * _sine(3 * pitch * path, length)
    rise = _hump(length)
    return _placed(count, _every(count, 0.8, rng), lambda number: wave * rise)


def chirping(count: int, pitch: float, rng: Rng) -> Array:
    length = int(0.09 * RATE)

    def chirp(number: int) -> Array:
        sweep = np.linspace(3000, 4800, length)[:: 1 if number % 3 else -1]
        return _sine(pitch * sweep, length) * _hump(length)

    return _placed(count, _every(count, 5.5, rng, unsteady=0.5), chirp)


def quacking(count: int, pitch: float, rng: Rng) -> Array:
    length = int(0.17 * RATE)
    wave = np.sign(_saw(pitch * np.linspace(230, 190, length), length) - 0.6) * _sine(1150 * pitch, length)
    return _placed(count, _every(count, 2.6, rng), lambda number: wave * _decay(length, 0.4))


def ticking(count: int, pitch: float, rng: Rng) -> Array:
    return _placed(
        count,
        _every(count, 2, rng, unsteady=0),
        lambda number: _bell_tone((2900, 2300)[number % 2] * pitch, 0.04, (1,)),
    )


def bell(count: int, pitch: float, rng: Rng) -> Array:
    wave = _bell_tone(520 * pitch, 1.6)
    return _placed(count, _every(count, 1.1, rng, unsteady=0.02), lambda number: wave)


def siren(count: int, pitch: float, rng: Rng) -> Array:
    sweep = pitch * (850 + 350 * np.sin(2 * np.pi * 0.5 * _times(count)))
    return _sine(sweep, count) + 0.4 * _sine(2 * sweep, count)


def thunder(count: int, pitch: float, rng: Rng) -> Array:
    swells = np.interp(np.arange(count), np.linspace(0, count, 9), [1, 0.5, 0.8, 0.3, 0.6, 0.3, 0.2, 0.1, 0.0])
    return _noise(count, rng, 30, 170 * pitch) * swells.astype(np.float32)


def rain(count: int, pitch: float, rng: Rng) -> Array:
    drops = hiss(count, rng)
    return _noise(count, rng, 1200 * pitch, 7500) + 2 * drops * (np.abs(drops) > 2.6)


def honking(count: int, pitch: float, rng: Rng) -> Array:
    length = int(0.4 * RATE)
    wave = _saw(370 * pitch, length) + _saw(466 * pitch, length)
    return _placed(count, _every(count, 1.6, rng), lambda number: wave * _hump(length) ** 0.3)


def music(count: int, pitch: float, rng: Rng) -> Array:
    """Play a melody, and a bass every fourth note."""
    notes = rng.integers(0, len(PENTATONIC), size=int(count / RATE * 4) + 9)

    def note(number: int) -> Array:
        tone = _bell_tone(262 * pitch * 2 ** (PENTATONIC[notes[number]] / 12), 0.9, (1, 2, 3))
        return tone if number % 4 else tone + _bell_tone(65.5 * pitch, 0.9, (1, 2, 3))

    return _placed(count, _every(count, 3, rng, unsteady=0), note)


SOUNDS: dict[str, Sound] = {
    "engine": engine, "train": train, "jet": jet, "rotor": rotor, "footsteps": footsteps, "beeping": beeping,
    "rustling": rustling, "flapping": flapping, "splashing": splashing, "rolling": rolling, "scraping": scraping,
    "thumping": thumping, "springing": springing, "crash": crash, "whoosh": whoosh, "whirring": whirring,
    "rising": rising, "falling": falling, "chime": chime, "creaking": creaking, "clicking": clicking,
    "rattling": rattling, "popping": popping, "knocking": knocking, "pouring": pouring, "crunching": crunching,
    "barking": barking, "mewing": mewing, "chirping": chirping, "quacking": quacking, "ticking": ticking, "bell": bell,
    "siren": siren, "thunder": thunder, "rain": rain, "honking": honking, "music": music,
}  # fmt: skip


def waveform(name: str, count: int, pitch: float, seed: int) -> Array:
    """Return so many samples of a sound at loudness 1, faded in and out so that it does not click."""
    wave = SOUNDS[name](count, pitch, np.random.default_rng(seed)).astype(np.float32)
    fade = min(count // 2, RATE // 50)
    wave[:fade] *= np.linspace(0, 1, fade, dtype=np.float32)
    wave[count - fade :] *= np.linspace(1, 0, fade, dtype=np.float32)
    loud = np.abs(wave) > 0.1 * np.abs(wave).max(initial=1e-9)
    return wave * np.float32(FULL / max(1e-6, float(np.sqrt(np.mean(wave[loud] ** 2, dtype=np.float64)))))
