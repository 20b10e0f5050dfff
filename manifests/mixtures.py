"""Records of mixing: what a source file is, and the recipe of a mixture.

A recipe is complete: with the files it names, `stemsmith.mixing.audio.realise` makes the same audio
again. The order of operations is fixed: read, tempo stretch, circular shift, effects, gain, sum,
and one guard gain for all against clipping; then what makes a master of the sum, guarded again.
Where a song has a mixture of its own, an excerpt of that stands in place of the sum.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from stemsmith.manifests.arrays import Float32s

__all__ = ["STAGE", "MeasuredFile", "Mixture", "MixtureSource", "SourceFile"]

STAGE: Final = "mixtures"  # as manifests have it


@dataclass(frozen=True, slots=True)
class SourceFile:
    """One stem of a data set that is not a corpus of ours.

    Attributes
    ----------
    song_id : str
        The same for stems that sound together, for example ``train/Artist - Title``.
    stem : str
        Name of the stem within its song; unique there.
    split : str
        ``train``, ``validation`` or ``test``.
    inst_class : str
        What plays, in lower case with hyphens: ``vocals``, ``bass``, ``violin``.
    path : str
        POSIX path relative to the root of the data set.
    stream : int
        Number of the audio stream in the file; 0 unless it is a ``.stem.mp4``.
    other_classes : tuple of str
        Further names of what plays, written alike, where `inst_class` is only one of several:
        ``acoustic-piano`` beside ``piano``.
    omission : str
        Why the data set itself leaves the song out, in words; empty for one that is used.
    """

    song_id: str
    stem: str
    split: str
    inst_class: str
    path: str
    stream: int = 0
    other_classes: tuple[str, ...] = ()
    omission: str = ""

    @property
    def classes(self) -> tuple[str, ...]:
        """All names of what plays, as `Taxonomy.target_of` takes them."""
        return (self.inst_class, *self.other_classes)


@dataclass(frozen=True, slots=True, eq=False)
class MeasuredFile:
    """What is known of a file's audio once it was read; kept in the cache.

    Attributes
    ----------
    sha256 : str
        SHA-256 of the file.
    sample_rate, n_channels, n_samples : int
        Shape of its audio; one or two channels.
    k_power, power : numpy.ndarray
        (n_samples * 10 // sample_rate,) K-weighted and plain mean square of each whole 100 ms.
        K-weighted power of two channels is their sum (BS.1770), plain power their mean.
    k_power_mono, power_mono : numpy.ndarray
        The same of (left + right) / 2.
    """

    sha256: str
    sample_rate: int
    n_channels: int
    n_samples: int
    k_power: Float32s
    power: Float32s
    k_power_mono: Float32s
    power_mono: Float32s


@dataclass(frozen=True, slots=True)
class MixtureSource:
    """One stem's part in a mixture.

    Attributes
    ----------
    stem_id, song_id : str
        The stem and its song, unique over all roots.
    root, path, stream : str, str, int
        Name of a root in the manifest's header, path below it, audio stream in the file.
    sha256 : str
        SHA-256 that the file had when the recipe was planned.
    group : str
        Target name in the taxonomy; ``mixture`` for a song's own mixture.
    role : str
        ``target`` or ``interference``; ``source`` where no target was asked for, and ``mixture``
        for a song's own mixture.
    sample_rate, n_stem_samples : int
        Sample rate in Hz and length of the file.
    start, n_read : int
        The excerpt, in samples of the file: sample i of it is
        ``x[(start - shift + i) mod n_stem_samples]``.
    shift : int
        Shift of the whole stem, in samples of the file; later for positive values.
    is_shift_padded : bool
        What lies outside the shifted stem is zero, instead of what was shifted out (circular).
    transforms : tuple of str
        JSON objects ``{"name": ..., parameters}`` in the order in which they are applied.
    target_lufs : float or None
        Integrated loudness the source is brought to after its transforms, before `gain_db`; None
        keeps its level.
    gain_db : float
        Gain in dB that is applied last, before the mixture's own guard gain.
    match : str or None
        Of a source from another song that was made to match the anchor's, a JSON object:
        ``anchor_song`` and ``anchor_group`` (the song and the target that it matches),
        ``transposition`` (in semitones), ``offset_s`` (where the excerpt begins in its own song as
        the corpus has it), and ``tempo_map``, pairs of quarter notes of its score and the seconds
        of the mixture at which they are played. None for others.
    """

    stem_id: str
    song_id: str
    root: str
    path: str
    stream: int
    sha256: str
    group: str
    role: str
    sample_rate: int
    n_stem_samples: int
    start: int
    n_read: int
    shift: int
    is_shift_padded: bool
    transforms: tuple[str, ...]
    target_lufs: float | None
    gain_db: float
    match: str | None = None


@dataclass(frozen=True, slots=True)
class Mixture:
    """The recipe of one mixture: a row of ``mixtures-{split}-NNNNN.parquet``.

    Attributes
    ----------
    mixture_id : str
        Name of the mixture, from its split and number: ``train-00000042``.
    mode : str
        ``coherent``, ``incoherent`` or ``renditions``; ``across`` where some sources are of the
        anchor's song and others of other songs, or made to match it.
    split : str
        The split that all its sources belong to.
    sample_rate, n_samples, n_channels : int
        Sample rate in Hz and shape of the mixture.
    peak_ceiling_dbfs : float
        No sample of the mixture or of a source exceeds it.
    sources : tuple of MixtureSource
        What is summed, in order of stem.
    master : str or None
        A transform of the sum, a JSON object as those of sources: the mixture is then a master, and
        its sources are as they were before. None where the mixture is the sum.
    own_mixture : MixtureSource or None
        The excerpt of the song's own mixture that is the mixture in place of the sum of the
        sources, at their gain: of corpora that were rendered with ``--mix-source unsplit``. None
        where the mixture is made of its sources, as in all that earlier versions wrote.
    """

    mixture_id: str
    mode: str
    split: str
    sample_rate: int
    n_samples: int
    n_channels: int
    peak_ceiling_dbfs: float
    sources: tuple[MixtureSource, ...]
    master: str | None = None
    own_mixture: MixtureSource | None = None

    @property
    def sums(self) -> bool:
        """Whether the mixture is the sum of its sources."""
        return self.master is None and self.own_mixture is None

    @property
    def excerpts(self) -> tuple[MixtureSource, ...]:
        """All that is read of files: the sources, and the song's own mixture if there is one."""
        return self.sources if self.own_mixture is None else (*self.sources, self.own_mixture)
