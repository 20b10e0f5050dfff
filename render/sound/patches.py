"""Patch banks: which sound a part may get.

A bank is read from SoundFont files (every preset is a patch of the class its program belongs to)
or from a YAML file (class -> patches, with effects, VST3 and SFZ instruments, folders of notes).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from stemsmith.manifests.arrays import Bools, Float32s, Int64s, UInt8s
from stemsmith.manifests.documents import read_yaml
from stemsmith.manifests.errors import UsageError
from stemsmith.manifests.places import is_remote, place
from stemsmith.manifests.programs import DRUMS, rendering_class_of
from stemsmith.manifests.records import Part
from stemsmith.manifests.seeds import rng_for
from stemsmith.manifests.stores import is_address
from stemsmith.mixing.production.chain import Effect, parse_effects
from stemsmith.render.sound.compass import Compass
from stemsmith.render.sound.mono import MonoFrom
from stemsmith.render.sound.patch_choice import PatchChoice
from stemsmith.render.sound.sample_folder import read_sample_folder
from stemsmith.render.sound.sf2 import DRUM_BANKS, PresetHeader, Soundfont, read_soundfont
from stemsmith.render.sound.sfz.instrument import SfzInstrument, read_sfz
from stemsmith.render.sound.synth import Preset, on_grid
from stemsmith.render.sound.vst3 import instrument_problem

__all__ = ["Bank", "Patch", "bank_from_soundfonts", "bank_from_yaml", "bank_of"]

# Banks that are in an order of their own: of the MT-32 and the CM-64, or of effects and kits of XG.
_OTHER_BANKS: Final = {
    126: "an order of its own (CM-64, XG)",
    127: "the order of the MT-32, or kits",
}
# What every part for drums may ask of a kit: bass drum, snare, hi-hats, crash and ride.
_KIT_KEYS: Final = (36, 38, 42, 46, 49, 51)
_SOURCES: Final = ("soundfont", "instrument", "folder", "sfz")
_DRUM_CLASS: Final = rendering_class_of(DRUMS)
_PATCH_KEYS: Final = frozenset({"name", "bank", "preset", "effects", *_SOURCES})


@dataclass(frozen=True, slots=True)
class Patch:
    """One sound.

    Attributes
    ----------
    name : str
        Unique in the bank; Slakh's ``plugin_name``.
    rendering_class : str
        Class it belongs to.
    preset : Preset or None
        Soundfont preset; None for a VST3 or SFZ instrument, or a folder of notes.
    instrument : str or None
        Path of a VST3 instrument.
    effects : tuple of Effect
        Applied after the synthesis.
    folder : str or None
        Absolute path of a folder of recorded notes.
    compass : Compass or None
        Notes that the preset plays; None before it is measured (`with_compasses`), and for other
        patches.
    sfz : SfzInstrument or None
        SFZ instrument, which is played by sfizz.
    """

    name: str
    rendering_class: str
    preset: Preset | None
    instrument: str | None = None
    effects: tuple[Effect, ...] = ()
    folder: str | None = None
    compass: Compass | None = field(default=None, compare=False, repr=False)
    sfz: SfzInstrument | None = None

    def samples_at(self, seconds: npt.ArrayLike, sample_rate: int) -> Int64s:
        """Return the sample at which the patch acts on events at some times, of the same shape."""
        if self.sfz is None:
            return on_grid(seconds, sample_rate)
        return np.rint(np.asarray(seconds, np.float64) * sample_rate).astype(np.int64)

    def has_sound_for(self, pitch: npt.ArrayLike, velocity: npt.ArrayLike) -> Bools:
        """Return for which notes there is a sound, in tune or not, (n_notes,).

        All True for what is not known: presets before they are measured, and VST3 instruments.
        Notes out of the reach of a folder have none either, but are never played.
        """
        if self.compass is not None:
            found: Bools = np.isfinite(self.compass.notes_db(pitch, velocity))
            return found
        if self.sfz is not None:
            return self.sfz.plays(pitch, velocity)
        return np.ones(np.shape(pitch), np.bool_)

    @property
    def is_for_any_part(self) -> bool:
        """Whether any part of its class may draw the patch.

        Not so for presets that wait for a controller, and for kits that are none for General MIDI:
        metronomes, marching drums, sound effects.
        """
        if self.compass is None:
            return True
        is_kit = self.rendering_class == _DRUM_CLASS
        return not self.compass.is_faint and (not is_kit or self.compass.has_keys(_KIT_KEYS))

    def sounding_pitch(self, pitch: npt.ArrayLike, velocity: npt.ArrayLike) -> Float32s | None:
        """Return the pitch that notes sound at, (n_notes,) MIDI numbers; None where nobody knows.

        Recorded notes sound at their pitch.
        """
        if self.compass is not None:
            return self.compass.sounding_pitch(pitch, velocity)
        return None if self.folder is None else np.asarray(pitch, np.float32)

    def mono_from(self, pitch: npt.ArrayLike, velocity: npt.ArrayLike) -> MonoFrom | None:
        """Return what of the two channels a mono stem of some notes is.

        Parameters
        ----------
        pitch, velocity : array_like
            (n_notes,) MIDI numbers; velocities from 1 on.

        Returns
        -------
        MonoFrom or None
            None for a patch that is no preset: recorded notes and VST3 instruments.
        """
        if self.preset is None:
            return None
        return MonoFrom.SUM if self.compass is None else self.compass.mono_from(pitch, velocity)

    def n_lost(self, strikes: UInt8s | None) -> int:
        """Return how many notes the patch would not play, or not in tune.

        Parameters
        ----------
        strikes : numpy.ndarray or None
            As in `Part`; those of several parts may follow each other. None asks for nothing.

        Returns
        -------
        int
            0 for what is not known: presets before they are measured, and VST3 instruments.
        """
        if strikes is None:
            return 0
        pitch, velocity, n_notes = strikes.reshape(-1, 3).T
        if self.compass is not None:
            is_played = self.compass.plays(pitch, velocity)
        elif self.folder is not None:
            is_played = read_sample_folder(Path(self.folder)).reaches(pitch)
        else:
            is_played = self.has_sound_for(pitch, velocity)
        return int(n_notes[~is_played].sum(dtype=np.int64))


@dataclass(frozen=True, slots=True)
class Bank:
    """All patches of a run.

    Attributes
    ----------
    patches : tuple of Patch
        In the order of the files.
    soundfonts : tuple of Soundfont
        Files they come from.
    warnings : tuple of str
        Patches that were skipped or may be of another class than they say, and why.
    is_chosen : bool
        Whether somebody has put the patches into their classes one by one (a YAML bank).
    """

    patches: tuple[Patch, ...]
    soundfonts: tuple[Soundfont, ...]
    warnings: tuple[str, ...] = ()
    is_chosen: bool = False
    _by_class: dict[str, list[Patch]] = field(init=False, repr=False)
    _drawn: dict[str, list[Patch]] = field(init=False, repr=False)
    _by_preset: dict[tuple[int, int], Patch] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        by_class: dict[str, list[Patch]] = defaultdict(list)
        by_preset: dict[tuple[int, int], Patch] = {}
        for patch in self.patches:
            by_class[patch.rendering_class].append(patch)
            is_faint = patch.compass is not None and patch.compass.is_faint
            if patch.preset is not None and not is_faint:
                by_preset.setdefault((patch.preset.bank, patch.preset.number), patch)
        drawn = {
            name: [patch for patch in patches if self.is_chosen or patch.is_for_any_part] or patches
            for name, patches in by_class.items()
        }
        object.__setattr__(self, "_by_class", dict(by_class))
        object.__setattr__(self, "_drawn", drawn)
        object.__setattr__(self, "_by_preset", by_preset)

    @property
    def has_effects(self) -> bool:
        """Whether a patch is more than a soundfont preset."""
        return any(patch.effects or patch.preset is None for patch in self.patches)

    @property
    def untunable(self) -> str | None:
        """The path of the first SFZ instrument, whose single notes cannot be tuned."""
        return next((patch.sfz.path for patch in self.patches if patch.sfz is not None), None)

    def patch_for(
        self,
        part: Part,
        choice: PatchChoice,
        seed: int,
        song_id: str,
        strikes: UInt8s | None = None,
    ) -> Patch | None:
        """Return the patch of a part, or None if the bank has none for it.

        Parameters
        ----------
        part : Part
            Part that needs a patch.
        choice : PatchChoice
            By class, drawn from the seed, the song and the program, so that parts with the same
            program in one song have the same patch; or the program's own preset.
        seed : int
            Seed of the corpus.
        song_id : str
            MD5 of the song's file.
        strikes : numpy.ndarray, optional
            What the patch should play, as in `Part`. If the one that was drawn cannot play all of
            it, another is drawn from those of the class that lose the fewest notes.
        """
        if choice is PatchChoice.PROGRAM:
            return self._own_preset(part)
        candidates = self._drawn.get(rendering_class_of(part.program), [])
        if not candidates:
            return None
        draw = rng_for(seed, song_id, part.program, "patch")
        drawn = candidates[int(draw.integers(len(candidates)))]
        n_lost = drawn.n_lost(strikes)
        if not n_lost:
            return drawn
        losses = [candidate.n_lost(strikes) for candidate in candidates]
        if min(losses) == n_lost:
            return drawn
        nearest = [c for c, n in zip(candidates, losses, strict=True) if n == min(losses)]
        draw = rng_for(seed, song_id, part.program, "patch that plays the notes")
        return nearest[int(draw.integers(len(nearest)))]

    def timbres(self, part: Part, strikes: UInt8s | None = None) -> list[Patch]:
        """Return the patches of a part's very instrument, in the order of the bank.

        In a chosen bank these are the patches of its class; otherwise the presets of its program
        (for drums, of its kit) in all soundfonts and banks. Those that lose notes of `strikes` come
        last, the fewer the earlier.
        """
        candidates = self._by_class.get(rendering_class_of(part.program), [])
        if not self.is_chosen:
            number = part.kit if part.program == DRUMS else part.program
            candidates = [
                p
                for p in candidates
                if p.preset is not None
                and p.preset.number == number
                and not (p.compass is not None and p.compass.is_faint)
            ]
        return sorted(candidates, key=lambda patch: patch.n_lost(strikes))

    def _own_preset(self, part: Part) -> Patch | None:
        """Look a program up as FluidSynth does: its bank, then the default one."""
        if part.program == DRUMS:
            wanted = [(bank, kit) for kit in (part.kit, 0) for bank in DRUM_BANKS]
        else:
            wanted = [(part.bank, part.program), (0, part.program)]
        return next((self._by_preset[key] for key in wanted if key in self._by_preset), None)


def _class_of_preset(bank: int, number: int) -> str | None:
    if bank in DRUM_BANKS:
        return rendering_class_of(DRUMS)
    is_general = bank not in _OTHER_BANKS and 0 <= number < DRUMS
    return rendering_class_of(number) if is_general else None


def _distinct(soundfonts: Iterable[Soundfont]) -> list[Soundfont]:
    """Return soundfonts once each; two files of one name could not be told apart in records."""
    names: dict[str, str] = {}
    soundfonts = list(soundfonts)
    for soundfont in soundfonts:
        if names.setdefault(soundfont.file, soundfont.path) != soundfont.path:
            raise UsageError(
                f"{soundfont.path}: another soundfont is called {soundfont.file} too; rename one"
            )
    return list({s.path: s for s in soundfonts}.values())


def bank_from_soundfonts(paths: Sequence[Path]) -> Bank:
    """Build a bank of the presets of some SoundFont files.

    A preset is of the class of the General MIDI program that its number names, a kit of bank 128 or
    120 of the drums. Left out are banks 126 and 127, whose numbers name no such programs, and kits
    of bank 120 that bank 128 has too.

    Raises
    ------
    UsageError
        If a file cannot be read, has nothing but what is left out, or two different files have the
        same name.
    """
    return bank_of([read_soundfont(path) for path in paths])


def bank_of(soundfonts: Iterable[Soundfont]) -> Bank:
    """Build a bank of soundfonts that are read, as `bank_from_soundfonts` does."""
    soundfonts = _distinct(soundfonts)
    patches: list[Patch] = []
    warnings: list[str] = []
    for soundfont in soundfonts:
        found = list(_patches_of(soundfont))
        if not found:
            raise UsageError(
                f"{soundfont.path}: none of its presets is one of General MIDI; name those that "
                "are of use in a patch bank (--bank FILE.yaml)"
            )
        patches += found
        warnings += _doubts(soundfont, found[0])
    return Bank(tuple(patches), tuple(soundfonts), tuple(warnings))


def _patches_of(soundfont: Soundfont) -> Iterator[Patch]:
    usual, general_2 = DRUM_BANKS
    kits = {preset.number for preset in soundfont.presets if preset.bank == usual}
    for preset in soundfont.presets:
        rendering_class = _class_of_preset(preset.bank, preset.number)
        is_again = preset.bank == general_2 and preset.number in kits
        if rendering_class is not None and not is_again:
            source = Preset(soundfont.path, preset.bank, preset.number)
            yield Patch(_name_of(soundfont, preset), rendering_class, source)


def _name_of(soundfont: Soundfont, preset: PresetHeader) -> str:
    return f"{soundfont.file}:{preset.bank:03d}-{preset.number:03d} {preset.name}"


def _doubts(soundfont: Soundfont, first: Patch) -> Iterator[str]:
    """Yield what a user should know of the classes of a soundfont's presets."""
    for bank, order in _OTHER_BANKS.items():
        n_left_out = sum(preset.bank == bank for preset in soundfont.presets)
        if n_left_out:
            yield f"{soundfont.file}: bank {bank} ({order}) is left out: {n_left_out} presets"
    if len(soundfont.presets) == 1:
        yield (
            f"{soundfont.file}: a single preset is hardly a General MIDI soundfont; by its number "
            f"{first.name.partition(':')[2]!r} counts as {first.rendering_class}, whatever it is; "
            "say what it is in a patch bank (--bank FILE.yaml)"
        )


def bank_from_yaml(path: Path) -> Bank:
    """Read a patch bank file.

    The file maps classes to lists of patches; paths are relative to the file, which may lie in an
    object store, as soundfonts may::

        Electric Bass:
          - {soundfont: fonts/bass.sf2, bank: 0, preset: 33}
          - {soundfont: fonts/bass.sf2, preset: 34, name: amped,
             effects: [{Distortion: {drive_db: 6}}, {PeakFilter: {cutoff_frequency_hz: 800}}]}
        Drums:
          - {instrument: /usr/lib/vst3/Kit.vst3}
        Violin:
          - {folder: notes/violin-1, name: first violin}
          - {sfz: solo-violin/Violin.sfz}

    A patch whose VST3 file is missing is skipped with a warning.

    Raises
    ------
    UsageError
        Naming the file, the class and the mistake.
    """
    content = read_yaml(path)
    if not isinstance(content, Mapping) or not content:
        raise UsageError(f"{path}: a patch bank maps classes to lists of patches")
    reader = _BankReader(path)
    for rendering_class, entries in content.items():
        reader.read_class(rendering_class, entries)
    return reader.bank()


class _BankReader:
    """Checks the entries of one bank file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._classes = {rendering_class_of(program) for program in range(DRUMS + 1)}
        self._patches: list[Patch] = []
        self._soundfonts: dict[Path, Soundfont] = {}
        self._warnings: list[str] = []

    def bank(self) -> Bank:
        """Return what was read."""
        if not self._patches:
            raise UsageError(f"{self._path}: no usable patch; {'; '.join(self._warnings)}")
        names = [patch.name for patch in self._patches]
        for name in names:
            if names.count(name) > 1:
                raise UsageError(f"{self._path}: two patches are called {name!r}; name them apart")
        soundfonts = _distinct(self._soundfonts.values())
        return Bank(tuple(self._patches), tuple(soundfonts), tuple(self._warnings), is_chosen=True)

    def read_class(self, rendering_class: object, entries: object) -> None:
        """Read the patches of one class."""
        if rendering_class not in self._classes:
            known = ", ".join(sorted(self._classes))
            raise UsageError(f"{self._path}: no class {rendering_class!r}; known: {known}")
        if not isinstance(entries, list):
            raise UsageError(f"{self._path}: {rendering_class}: must be a list of patches")
        for k, entry in enumerate(entries):
            where = f"{self._path}: {rendering_class}[{k}]"
            if not isinstance(entry, Mapping):
                raise UsageError(f"{where}: a patch is a mapping, not {entry!r}")
            if unknown := set(entry) - _PATCH_KEYS:
                raise UsageError(f"{where}: unknown key {sorted(map(str, unknown))[0]!r}")
            if sum(source in entry for source in _SOURCES) != 1:
                raise UsageError(
                    f"{where}: give either a soundfont or an instrument or a folder of notes or "
                    "an sfz file"
                )
            patch = self._read_patch(str(rendering_class), dict(entry), where)
            if patch is not None:
                self._patches.append(patch)

    def _named(self, name: object, where: str, *, is_anywhere: bool = False) -> Path:
        """Return what an entry names: a path as seen from the file, a whole one, or an address."""
        is_whole = is_address(str(name)) or Path(str(name)).is_absolute()
        path = place(str(name)) if is_whole else self._path.parent / str(name)
        if is_remote(path) and not is_anywhere:
            raise UsageError(f"{where}: {path} lies in an object store, where soundfonts alone may")
        return path

    def _read_patch(self, rendering_class: str, entry: dict[str, Any], where: str) -> Patch | None:
        effects = parse_effects(entry.get("effects", []), where)
        if "instrument" in entry:
            plugin = self._named(entry["instrument"], where)
            if not plugin.exists():
                self._warnings.append(f"{where}: skipped, there is no plugin {plugin}")
                return None
            if problem := instrument_problem(str(plugin.resolve())):
                self._warnings.append(f"{where}: skipped, {plugin} does not load: {problem}")
                return None
            name = str(entry.get("name", plugin.name))
            return Patch(name, rendering_class, None, str(plugin.resolve()), effects)
        if "folder" in entry:
            folder = self._named(entry["folder"], where)
            name = str(entry.get("name", folder.name))
            return Patch(
                name, rendering_class, None, None, effects, read_sample_folder(folder).path
            )
        if "sfz" in entry:
            sfz = read_sfz(self._named(entry["sfz"], where), rendering_class == _DRUM_CLASS)
            name = str(entry.get("name", Path(sfz.path).name))
            return Patch(name, rendering_class, None, effects=effects, sfz=sfz)
        file = self._named(entry["soundfont"], where, is_anywhere=True).resolve()
        if file not in self._soundfonts:
            self._soundfonts[file] = read_soundfont(file)
        soundfont = self._soundfonts[file]
        bank, number = entry.get("bank", 0), entry.get("preset")
        if not isinstance(bank, int) or not isinstance(number, int):
            raise UsageError(f"{where}: bank and preset must be whole numbers")
        names = {(p.bank, p.number): p.name for p in soundfont.presets}
        if (bank, number) not in names:
            raise UsageError(f"{where}: {soundfont.file} has no preset {number} in bank {bank}")
        own_name = _name_of(soundfont, PresetHeader(bank, number, names[bank, number]))
        name = str(entry.get("name", own_name))
        return Patch(name, rendering_class, Preset(soundfont.path, bank, number), None, effects)
