"""The page of mixtures: how many there are of what, and some of them to listen to."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

import numpy as np
from stemsmith.manifests.errors import InvalidCorpus, StemsmithError
from stemsmith.manifests.jobs import Progress
from stemsmith.manifests.mixtures import Mixture, MixtureSource
from stemsmith.mixing.audio.labels import NoteTable
from stemsmith.mixing.audio.realise import MIXTURE, TRUE
from stemsmith.mixing.mixtures import Mixtures, StoredMixture
from stemsmith.share.charts import Caption, bars, box_plots
from stemsmith.share.report.clips import make_clip
from stemsmith.share.report.config import ReportConfig
from stemsmith.share.report.content import (
    Block,
    Chart,
    DataTable,
    Facts,
    Notice,
    PageSection,
    PlayerMode,
    PlayerNote,
    PlayerTrack,
    Prose,
    StemPlayer,
)
from stemsmith.share.report.listening import CLIP_S, chosen, in_threads, try_each
from stemsmith.share.report.mixture_numbers import MixtureNumbers, count_mixtures, effect_name

__all__ = ["mixture_sections"]

_CLIPS_A_SONG: Final = 2  # a clip is a few seconds: there are twice as many as songs elsewhere
_DRUMS: Final = "drums"
_MOST_SETTINGS: Final = 200  # letters of a setting in the table


def mixture_sections(
    mixtures: Mixtures, config: ReportConfig, progress: Progress
) -> list[PageSection]:
    """Return the sections of a folder of mixtures.

    Parameters
    ----------
    mixtures : Mixtures
        What the page is of.
    config : ReportConfig
        How many clips can be played, two for each song that is asked for; which ones; how long.
    progress : Progress
        Is told how far the work is, and warned of mixtures that cannot be made again.

    Raises
    ------
    InvalidCorpus
        If the recipes cannot be read.
    """
    if not len(mixtures):
        return [PageSection("At a glance", [Notice("There are no mixtures in this folder.")])]
    numbers = count_mixtures(mixtures)
    players = _listening(mixtures, config, progress)
    return [
        PageSection("At a glance", [_facts(mixtures, numbers), _lead(mixtures, numbers)]),
        *([players] if players is not None else []),
        PageSection("What is mixed", _contents(mixtures, numbers)),
        PageSection("Augmentation", _augmentation(mixtures, numbers)),
        PageSection("Left out", _left_out(numbers)),
        PageSection("Settings", [_settings(mixtures)]),
    ]


def _facts(mixtures: Mixtures, numbers: MixtureNumbers) -> Facts:
    return Facts(
        [
            ("mixtures", f"{len(mixtures):,}"),
            ("hours", f"{sum(numbers.hours_by_split.values()):.2f}"),
            *((f"mixtures of {split}", f"{n:,}") for split, n in numbers.n_by_split.items()),
            ("targets", str(len(numbers.n_by_target))),
            ("songs used", f"{numbers.n_source_songs:,}"),
            ("stems used", f"{numbers.n_stems:,}"),
        ]
    )


def _lead(mixtures: Mixtures, numbers: MixtureNumbers) -> Prose:
    target = mixtures.header["config"]["target"]
    modes = " and ".join(numbers.n_by_mode).capitalize()
    channels = "mono" if mixtures.n_channels == 1 else "stereo"
    wanted = f"with {target} in all of them, " if target else ""
    return Prose(
        f"{modes} mixtures, {wanted}{channels} at {mixtures.sample_rate:,} Hz. Targets: "
        f"{', '.join(numbers.n_by_target)}."
    )


def _splits(numbers: MixtureNumbers) -> DataTable:
    rows = [
        (split, count, f"{numbers.hours_by_split[split]:.2f}")
        for split, count in numbers.n_by_split.items()
    ]
    return DataTable("Splits", ("split", "mixtures", "hours"), rows)


def _contents(mixtures: Mixtures, numbers: MixtureNumbers) -> list[Block]:
    taxonomy: Mapping[str, Any] = mixtures.header["taxonomy"]
    n_mixtures = len(mixtures)
    rows = [
        (
            target,
            ", ".join(map(str, taxonomy.get(target, ()))),
            n,
            f"{100 * n / n_mixtures:.0f} %",
            numbers.sources_by_target[target],
        )
        for target, n in numbers.n_by_target.items()
    ]
    modes = [(mode, count) for mode, count in numbers.n_by_mode.items()]
    roots: Mapping[str, str] = mixtures.header.get("roots") or {}
    sources = [
        (str(s["root"]), str(s.get("layout", "")), roots.get(s["root"], ""))
        for s in mixtures.header["sources"]
    ]
    return [
        DataTable(
            "Targets",
            ("target", "classes", "mixtures with it", "share", "sources"),
            rows,
            note="A star stands for all classes that belong to no other target.",
        ),
        *_counts("Sources of a mixture", numbers.n_sources.tolist(), "sources"),
        *_counts("Songs that the sources of a mixture are of", numbers.n_songs.tolist(), "songs"),
        *_gains(numbers),
        DataTable("How sources go together", ("mode", "mixtures"), modes),
        *_own_mixtures(n_mixtures, numbers.n_own_mixtures),
        _splits(numbers),
        DataTable("Where stems come from", ("root", "layout", "folder"), sources),
    ]


def _own_mixtures(n_mixtures: int, n_own: int) -> list[Block]:
    """Say how many mixtures are no sums, if some are not."""
    if not n_own:
        return []
    words = "All mixtures" if n_own == n_mixtures else f"{n_own:,} of {n_mixtures:,} mixtures"
    return [
        Prose(
            f"{words} are excerpts of their songs' own mixtures, which were rendered as a whole. "
            "What these hold beside their sources belongs to no target."
        )
    ]


def _counts(title: str, values: list[int], unit: str) -> list[Block]:
    """Return a chart of how often each number is there."""
    if min(values) == max(values):
        return [Prose(f"{title}: {values[0]} {unit} in all of them.")]
    numbers = range(min(values), max(values) + 1)
    counts = [values.count(number) for number in numbers]
    said = f"From {min(values)} to {max(values)}, median {np.median(values):g}."
    caption = Caption(title, said, x=unit, y="mixtures")
    svg = bars([str(number) for number in numbers], {"mixtures": counts}, caption, is_narrow=True)
    return [Chart(svg, f"{title}. {said}")]


def _gains(numbers: MixtureNumbers) -> list[Block]:
    spread = {target: gains for target, gains in numbers.gain_db.items() if np.ptp(gains) > 0}
    if not spread:
        fixed = sorted({float(gain) for gains in numbers.gain_db.values() for gain in gains})
        return [Prose(f"The gain of all sources is {' or '.join(f'{g:g}' for g in fixed)} dB.")]
    title = "Gain of sources, before what guards against clipping"
    said = "; ".join(
        f"{target}: {gains.min():.1f} to {gains.max():.1f} dB" for target, gains in spread.items()
    )
    svg = box_plots(
        list(spread),
        {"gain": [gains.tolist() for gains in spread.values()]},
        Caption(title, said, y="gain / dB"),
        is_narrow=True,
    )
    return [Chart(svg, f"{title}. {said}.")]


def _augmentation(mixtures: Mixtures, numbers: MixtureNumbers) -> list[Block]:
    asked = [str(name) for name in mixtures.header["config"]["augment"]]
    words = f"Asked for: {', '.join(asked)}." if asked else "No augmentation was asked for."
    n_sources = int(numbers.n_sources.sum())
    rows = [
        ("shifted in time", numbers.n_shifted, "sources"),
        ("made to match another song", numbers.n_matched, "sources"),
        ("made a master", numbers.n_masters, "mixtures"),
        *((effect, count, "sources") for effect, count in numbers.n_by_effect.items()),
    ]
    done = [row for row in rows if row[1]]
    if not done:
        return [Prose(words)]
    caption = f"What was done, of {n_sources:,} sources of {len(mixtures):,} mixtures"
    return [Prose(words), DataTable(caption, ("what", "number", "of"), done)]


def _left_out(numbers: MixtureNumbers) -> list[Block]:
    if not numbers.rejections:
        return [Prose("Nothing was left out.")]
    rows = [(reason, stage, count) for (stage, reason), count in numbers.rejections.items()]
    total = sum(numbers.rejections.values())
    return [DataTable(f"{total:,} files are in no mixture", ("reason", "stage", "files"), rows)]


def _settings(mixtures: Mixtures) -> DataTable:
    rows = [
        (name, _shortened(json.dumps(value, ensure_ascii=False)))
        for name, value in sorted(mixtures.header["config"].items())
    ]
    return DataTable("What was asked for", ("setting", "value"), rows, is_folded=True)


def _shortened(text: str) -> str:
    return (
        text if len(text) <= _MOST_SETTINGS else f"{text[:_MOST_SETTINGS]}\N{HORIZONTAL ELLIPSIS}"
    )


def _listening(mixtures: Mixtures, config: ReportConfig, progress: Progress) -> PageSection | None:
    """Return a section with a player for each clip; a line where the sources are not there."""
    wanted = dataclasses.replace(config, n_songs=_CLIPS_A_SONG * config.n_songs)
    numbers = chosen(range(len(mixtures)), str, wanted)
    if not numbers:
        return None
    try:
        some = [mixtures[number] for number in numbers]
    except StemsmithError as error:
        progress.warn(f"no mixture can be played on the page: {error}")
        return PageSection("Listen", [Notice(f"No mixture can be played here: {error}")])
    clip_s = CLIP_S if config.clip_s is None else config.clip_s
    blocks = try_each(
        some, lambda one: one.record.mixture_id, lambda one: _player(one, clip_s), progress
    )
    pairs = zip(some, blocks, strict=True)
    parts = [part for one, block in pairs for part in (block, _recipe(one.record))]
    n_all = len(mixtures)
    words = "All of them" if len(some) == n_all else f"{len(some)} of {n_all:,}, drawn by lot"
    return PageSection("Listen", [Prose(f"{words}, made again from their recipes."), *parts])


def _player(one: StoredMixture, clip_s: float) -> StemPlayer:
    """Return a player of the targets of a mixture; where they are not its sum, one that switches.

    Masters and songs' own mixtures are no sums, and faulty recordings of targets are not theirs.
    """
    record = one.record
    audio = one.realise()
    n_clip = min(record.n_samples, round(clip_s * record.sample_rate))
    notes = _notes(one, n_clip)
    is_faulty = any(name.endswith(TRUE) for name in audio)
    is_sum = bool(audio.addends) and not is_faulty
    names = audio.addends if is_sum else [MIXTURE, *sorted(audio.keys() - {MIXTURE})]
    clips = in_threads(
        lambda name: make_clip(audio[name][:, :n_clip], record.sample_rate), list(names)
    )
    tracks = [
        PlayerTrack(
            name=name.removesuffix(TRUE),
            clip=clip,
            label=_label(record, name, is_faulty),
            notes=notes.get(name.removesuffix(TRUE), ()),
            is_drums=name.removesuffix(TRUE) == _DRUMS,
        )
        for name, clip in zip(names, clips, strict=True)
    ]
    caption = f"{record.split}, {record.mode}, {_pairing(record)}"
    if record.own_mixture is not None:
        caption += "; the mixture is the song's own, and not the sum of its targets"
    if record.master is not None:
        whole = "it" if record.own_mixture is not None else "the sum of its targets"
        caption += f"; the mixture is a master of {whole}"
    if round(audio.guard_gain_db, 1):
        caption += f"; {audio.guard_gain_db:.1f} dB against clipping"
    mode = PlayerMode.MIX if is_sum else PlayerMode.SWITCH
    return StemPlayer(record.mixture_id, tracks, mode, caption)


def _label(record: Mixture, name: str, is_faulty: bool) -> str:
    """Say what a track is: how many sources it has, and their gains."""
    words = []
    if is_faulty and name != MIXTURE:
        words.append("as it is" if name.endswith(TRUE) else "as it is recorded")
    target = name.removesuffix(TRUE)
    gains = [f"{source.gain_db:+.1f}" for source in record.sources if source.group == target]
    if gains:
        words.append("1 source" if len(gains) == 1 else f"{len(gains)} sources")
    if gains and set(gains) - {"+0.0", "-0.0"}:
        words.append(f"gain {', '.join(dict.fromkeys(gains))} dB")
    return ", ".join(words)


def _pairing(record: Mixture) -> str:
    songs = {(source.root, source.song_id) for source in record.sources}
    matched = sum(source.match is not None for source in record.sources)
    text = "all sources of one song" if len(songs) == 1 else f"sources of {len(songs)} songs"
    return f"{text}, {matched} made to match" if matched else text


def _notes(one: StoredMixture, n_clip: int) -> dict[str, list[PlayerNote]]:
    """Return the notes of targets that have some to know of."""
    rate = one.record.sample_rate
    try:
        labels = one.labels()
    except InvalidCorpus:  # audio that is there is played without them
        return {}
    return {target: list(_clip_notes(table, n_clip, rate)) for target, table in labels.items()}


def _clip_notes(table: NoteTable, n_clip: int, sample_rate: int) -> Iterator[PlayerNote]:
    ends = np.where(np.isnan(table.sounding_offset), table.offset, table.sounding_offset)
    rows = zip(table.onset, ends, table.pitch, table.velocity, strict=True)
    for onset, end, pitch, velocity in rows:
        if onset < n_clip and end > onset:
            start_s, end_s = onset / sample_rate, min(end, n_clip) / sample_rate
            yield PlayerNote(float(start_s), float(end_s), float(pitch), int(velocity))


def _recipe(record: Mixture) -> DataTable:
    """Return a table of the sources of a mixture."""
    headings = ("target", "role", "file", "from / s", "gain / dB", "loudness", "done to it")
    rows = [
        (
            source.group,
            source.role,
            f"{source.root}: {source.path}",
            f"{source.start / source.sample_rate:.2f}",
            f"{source.gain_db:+.2f}",
            "as it is" if source.target_lufs is None else f"{source.target_lufs:.1f} LUFS",
            "; ".join(_done_to(source)),
        )
        for source in record.sources
    ]
    own, notes = record.own_mixture, list[str]()
    if own is not None:
        notes.append(f"In place of their sum stands the same excerpt of {own.root}: {own.path}.")
    if record.master is not None:
        whole = "The sum of them" if own is None else "It"
        notes.append(f"{whole} became: {_spelled(record.master)}.")
    title = f"Sources of {record.mixture_id}"
    return DataTable(title, headings, rows, " ".join(notes), is_folded=True)


def _done_to(source: MixtureSource) -> Iterator[str]:
    """Say what a recipe does to a source beside its gain."""
    if source.shift:
        end = " (padded)" if source.is_shift_padded else ""
        yield f"shifted by {source.shift / source.sample_rate:+.3f} s{end}"
    for transform in source.transforms:
        yield _spelled(transform)
    if source.match is not None:
        found = _read(source.match)
        song, group = found.get("anchor_song"), found.get("anchor_group")
        yield f"matches {group} of {song}, {found.get('transposition', 0):+g} semitones"


def _spelled(transform: str) -> str:
    """Return an effect with its parameters: ``gain (db = 3)``."""
    found = _read(transform)
    values = ", ".join(f"{name} = {_brief(v)}" for name, v in found.items() if name != "name")
    return f"{effect_name(transform)} ({values})" if values else effect_name(transform)


def _brief(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    return _shortened(value if isinstance(value, str) else json.dumps(value))


def _read(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
