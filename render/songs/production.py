"""What is done to the stems and the mixture of a song after synthesis, and what is said of it.

A stem goes through the effects of its class, then the room of the song; then all stems through
filters that keep them from masking each other. A mixture goes through a bus, then a codec. All of
it is drawn for the song and the part, so that it depends on nothing else.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version as package_version
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
from stemsmith.manifests import storage
from stemsmith.manifests.arrays import Float32s, Float64s, Int16s
from stemsmith.manifests.audio.read import FULL_SCALE_16, is_audio
from stemsmith.manifests.errors import UsageError, require
from stemsmith.manifests.paths import local_path
from stemsmith.manifests.programs import classes_of
from stemsmith.manifests.seeds import rng_for
from stemsmith.mixing.level.spans import Spans, with_tails
from stemsmith.mixing.production.bus import apply_bus, draw_bus
from stemsmith.mixing.production.chain import chain_to_json
from stemsmith.mixing.production.class_effects import (
    ClassEffects,
    apply_class_effects,
    built_in_class_effects,
    n_ringing,
    parse_class_effects,
    read_class_effects,
)
from stemsmith.mixing.production.codec import apply_codec, libav_version
from stemsmith.mixing.production.equaliser import (
    Equaliser,
    apply_equaliser,
    band_energies,
    n_taps,
)
from stemsmith.mixing.production.room import (
    convolve,
    draw_position,
    draw_room,
    impulse_response,
    read_impulse_response,
)
from stemsmith.render.corpus.config import NONE, Master, RenderConfig

__all__ = [
    "NO_PRODUCTION",
    "ImpulseResponse",
    "Mastered",
    "ProducedPart",
    "Production",
    "SongProduction",
    "plan_production",
    "plan_production_again",
]

_BUILT_IN: Final = "class"
_DRAWN: Final = "drawn"


class ImpulseResponse(NamedTuple):
    """A sound file that is a room.

    Attributes
    ----------
    path : str
        Absolute path of the file.
    sha256 : str
        SHA-256 of the file.
    file : str
        What records call it: its name when the corpus was made.
    """

    path: str
    sha256: str
    file: str


@dataclass(frozen=True, slots=True)
class Production:
    """What the options of a corpus name, as it was read.

    Attributes
    ----------
    class_effects : ClassEffects or None
        Chains of the classes of instruments.
    impulse_responses : tuple of ImpulseResponse
        The rooms, of which every song has one.
    """

    class_effects: ClassEffects | None = None
    impulse_responses: tuple[ImpulseResponse, ...] = ()


NO_PRODUCTION: Final = Production()


def plan_production(config: RenderConfig) -> tuple[Production, dict[str, Any]]:
    """Read what the options name, before the first song.

    Parameters
    ----------
    config : RenderConfig
        Options of the corpus.

    Returns
    -------
    production : Production
        What songs need of it.
    header : dict
        What the manifest says of it; empty where nothing is done.

    Raises
    ------
    UsageError
        If a file cannot be used or a package is not installed.
    """
    _require_packages(config)
    class_effects = None
    if config.effects == _BUILT_IN:
        class_effects = built_in_class_effects()
    elif config.effects != NONE:
        class_effects = read_class_effects(local_path(config.effects))
    if class_effects is not None:
        class_effects.check(config.sample_rate)
    impulse_responses: tuple[ImpulseResponse, ...] = ()
    if config.room not in (NONE, _DRAWN):
        impulse_responses = _impulse_responses(local_path(config.room), config.sample_rate)
    production = Production(class_effects, impulse_responses)
    return production, _header(production, config)


def plan_production_again(
    config: RenderConfig, described: Mapping[str, Any], room: Path | None, where: str
) -> tuple[Production, dict[str, Any]]:
    """Return the production that a manifest describes: its effects, and its rooms where they lie.

    Parameters
    ----------
    config : RenderConfig
        Options of the corpus.
    described : mapping of str to object
        What the header of `plan_production` says of the production.
    room : Path, optional
        An impulse response, or a folder that holds those of the corpus, under any names. By
        default it is where the options say.
    where : str
        What the manifest was read from, for messages.

    Returns
    -------
    production, header
        As `plan_production` returns them; versions are those of here.

    Raises
    ------
    UsageError
        If a room is not there or has changed, a package is not installed, or the manifest does not
        describe a production.
    """
    _require_packages(config)
    class_effects = None
    if config.effects != NONE:
        class_effects = parse_class_effects(described.get("class_effects"), f"{where}: effects")
    wanted = described.get("impulse_responses", [])
    if (config.room not in (NONE, _DRAWN)) != bool(wanted):
        raise UsageError(f"{where}: does not name the impulse responses of --room {config.room}")
    found: tuple[ImpulseResponse, ...] = ()
    if wanted:
        found = _known_responses(local_path(config.room) if room is None else room, wanted)
        for response in found:
            read_impulse_response(Path(response.path), config.sample_rate)
    production = Production(class_effects, found)
    return production, _header(production, config)


def _known_responses(
    place: Path, wanted: Sequence[Mapping[str, str]]
) -> tuple[ImpulseResponse, ...]:
    """Return the impulse responses that a manifest names, by their content."""
    try:
        files = sorted(place.rglob("*")) if place.is_dir() else [place]
        hashes = {storage.file_hash(file): file for file in files if file.is_file()}
    except OSError as error:
        raise UsageError(f"--room {place}: cannot be read: {error.strerror}") from error
    missing = [response for response in wanted if response["sha256"] not in hashes]
    if missing:
        name = missing[0]["file"]
        changed = any(file.name == name for file in files if file.is_file())
        what = f"{name} is there with another content" if changed else f"{name} is not there"
        raise UsageError(
            f"--room {place}: {what}; {len(missing)} of {len(wanted)} impulse responses of the "
            "corpus are missing"
        )
    return tuple(
        ImpulseResponse(str(hashes[r["sha256"]].resolve()), r["sha256"], r["file"]) for r in wanted
    )


def _require_packages(config: RenderConfig) -> None:
    """Refuse options that need a package which is not installed, or a bit rate that is none."""
    if config.effects != NONE:
        require("effects", "pedalboard", task="--effects")
    if config.room == _DRAWN:
        require("effects", "pyroomacoustics", task="--room drawn")
    if config.master is Master.BUS:
        require("effects", "pedalboard", task="--master bus")
    if config.codec is not None:
        require("effects", "av", task="--codec")
        silence = np.zeros((config.n_channels, 1), np.float32)
        apply_codec(silence, config.codec, config.sample_rate)  # it may refuse the bit rate


def _impulse_responses(path: Path, sample_rate: int) -> tuple[ImpulseResponse, ...]:
    """Return the sound files that a path is or holds, all of which can be used."""
    files = [path]
    if path.is_dir():
        files = sorted(file for file in path.iterdir() if file.is_file() and is_audio(file))
        if not files:
            raise UsageError(f"--room {path}: no sound files in this folder")
    for file in files:
        read_impulse_response(file, sample_rate)
    return tuple(
        ImpulseResponse(str(file := found.resolve()), storage.file_hash(file), file.name)
        for found in files
    )


def _header(production: Production, config: RenderConfig) -> dict[str, Any]:
    described: dict[str, Any] = {}
    versions: dict[str, str] = {}
    if production.class_effects is not None:
        described["class_effects"] = production.class_effects.to_manifest()
    if production.impulse_responses:
        described["impulse_responses"] = [
            {"file": response.file, "sha256": response.sha256}
            for response in production.impulse_responses
        ]
    if production.class_effects is not None or config.master is Master.BUS:
        versions["pedalboard"] = package_version("pedalboard")
    if config.room == _DRAWN:
        versions["pyroomacoustics"] = package_version("pyroomacoustics")
    if config.codec is not None:
        versions["libavcodec"] = libav_version()
    if versions:
        described["versions"] = versions
    return {"production": described} if described else {}


class ProducedPart(NamedTuple):
    """What was done to a part, as its record says it: JSON, or None where nothing was.

    Attributes
    ----------
    effects : str or None
        Chain of its class.
    position : str or None
        Its place in the room, in metres from a corner.
    equaliser : str or None
        Gains in dB of its filter.
    """

    effects: str | None = None
    position: str | None = None
    equaliser: str | None = None


class Mastered(NamedTuple):
    """A mixture after its bus and codec, with the parameters of both as JSON."""

    audio: Int16s
    bus: str | None
    codec: str | None


class SongProduction:
    """The production of one song.

    Parameters
    ----------
    config : RenderConfig
        Options of the corpus.
    production : Production
        What they name.
    song_id : str
        Identity of the song.

    Attributes
    ----------
    room : str or None
        The room as the record of the song has it.
    """

    def __init__(self, config: RenderConfig, production: Production, song_id: str) -> None:
        self._config, self._class_effects = config, production.class_effects
        self._song_id = song_id
        self._room = self._taps = self.room = None
        if config.room == _DRAWN:
            self._room = draw_room(self._rng("room"))
            self.room = self._room.to_json()
        elif production.impulse_responses:
            n_files = len(production.impulse_responses)
            drawn = production.impulse_responses[self._rng("room").integers(n_files)]
            self._taps = read_impulse_response(Path(drawn.path), config.sample_rate)
            self.room = json.dumps({"file": drawn.file, "sha256": drawn.sha256})

    def _rng(self, *what: str) -> np.random.Generator:
        return rng_for(self._config.seed, self._song_id, *what)

    def play(
        self, name: str, program: int, native: Float32s, spans: Spans
    ) -> tuple[list[tuple[int, int]], ProducedPart]:
        """Run a part through the effects of its class and the room, in its place.

        Parameters
        ----------
        name : str
            Name of the stem.
        program : int
            Its program, which decides its class.
        native : numpy.ndarray
            (n_channels, n_samples) float32, which is overwritten.
        spans : sequence of (int, int)
            Where it may be other than zero.

        Returns
        -------
        spans : list of (int, int)
            Where it may be so now.
        produced : ProducedPart
            What was done.

        Raises
        ------
        UsageError
            If the effects give infinite samples or leave nothing.
        """
        sample_rate, n_samples = self._config.sample_rate, native.shape[1]
        effects = position = None
        after = list(spans)
        if self._class_effects is not None:
            rng = self._rng(name, "effects")
            chain = self._class_effects.draw(classes_of(program), rng, sample_rate)
            effects = chain_to_json(chain)
            try:
                native[:] = apply_class_effects(native, chain, sample_rate, after)
            except UsageError as error:
                raise UsageError(f"{name}, program {program}: {error}") from error
            after = with_tails(after, n_ringing(chain, sample_rate, n_samples), n_samples)
        taps = self._taps
        if self._room is not None:
            place = draw_position(self._room, self._rng(name, "position"))
            position = json.dumps(place)
            taps = impulse_response(self._room, place, sample_rate, len(native))
        if taps is not None:
            native[:] = convolve(native, taps[: len(native)], after)
            after = with_tails(after, taps.shape[1], n_samples)
        return after, ProducedPart(effects, position)

    def energies(self, native: Float32s) -> Float64s:
        """Return the energies of a stem in bands, which `least_masking` finds its filter by."""
        return band_energies(native, self._config.sample_rate)

    def equalise(self, native: Float32s, found: Equaliser, spans: Spans) -> list[tuple[int, int]]:
        """Run a stem through its filter, in its place; return where it may be other than zero."""
        sample_rate = self._config.sample_rate
        native[:] = apply_equaliser(native, found, sample_rate, spans)
        return with_tails(spans, n_taps(sample_rate), native.shape[1])

    def master(self, mix: Int16s) -> Mastered | None:
        """Run a mixture through the bus and the codec; None where neither is wanted.

        What a codec brings above full scale is cut, as players cut it.
        """
        config = self._config
        if not config.has_master:
            return None
        audio = mix.astype(np.float32) / np.float32(FULL_SCALE_16)
        bus = None
        if config.master is Master.BUS:
            drawn = draw_bus(self._rng("bus"))
            bus, audio = drawn.to_json(), apply_bus(audio, drawn, config.sample_rate)
        if config.codec is not None:
            audio = apply_codec(audio, config.codec, config.sample_rate)
        steps = np.rint(audio * np.float32(FULL_SCALE_16))
        samples = np.clip(steps, -FULL_SCALE_16, FULL_SCALE_16 - 1).astype(np.int16)
        codec = None if config.codec is None else config.codec.to_json()
        return Mastered(samples, bus, codec)
