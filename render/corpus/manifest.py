"""What the manifests of both kinds of corpora say, and what is said where nothing can be made."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as package_version
from pathlib import Path
from typing import Any, Final

from stemsmith.manifests.audio import flac
from stemsmith.manifests.folder_kinds import FolderKind, kind_of
from stemsmith.manifests.preflight import library_versions
from stemsmith.manifests.records import Reason, Rejection
from stemsmith.render.sound import fluid
from stemsmith.render.sound.patches import Bank
from stemsmith.render.sound.sample_folder import read_sample_folder
from stemsmith.render.sound.synth import synthesis

__all__ = [
    "bank_header",
    "is_bank_of",
    "ordered_versions",
    "sfz_versions",
    "sound_versions",
    "why_nothing",
]

_PACKAGES: Final = ("numpy", "scipy", "pyloudnorm", "soundfile", "pyarrow", "mido")


def why_nothing(midi_root: Path, n_files: int, rejections: Sequence[Rejection]) -> str:
    """Say why no song is left, and what to change."""
    if not n_files:
        held = kind_of(midi_root)
        holds = f"; it {held.words}" if held in (FolderKind.AUDIO, FolderKind.EMPTY) else ""
        return f"{midi_root}: no .mid, .midi, .kar, .rmi or .smf files{holds}"
    counts = Counter(r.reason for r in rejections)
    reasons = ", ".join(f"{n} {reason}" for reason, n in counts.most_common())
    advice = {
        Reason.NO_BAND: "; loosen --band or --min-notes, or use --no-band",
        Reason.LICENCE: "; loosen --licence-ok, or say what the licences are",
        Reason.NO_PATCH: "; give another --soundfont, or use --render-omitted",
    }.get(counts.most_common(1)[0][0], "")
    return f"{midi_root}: none of {n_files} files can be rendered: {reasons}{advice}"


def sound_versions() -> dict[str, str]:
    """Return the versions of what must be the same on every machine that renders."""
    return {**library_versions(), "libfluidsynth": fluid.version()}


def sfz_versions() -> dict[str, str]:
    """Return the same where SFZ instruments are played, which takes pysfizz, too."""
    try:
        return {**sound_versions(), "pysfizz": package_version("pysfizz")}
    except PackageNotFoundError:
        return {**sound_versions(), "pysfizz": "missing"}


def is_bank_of(header: Mapping[str, Any], manifest: Mapping[str, Any]) -> bool:
    """Tell whether a bank, by its header, is the one that a corpus was rendered with."""
    return all(header[key] == manifest.get(key) for key in ("soundfonts", "patch_bank"))


def bank_header(bank: Bank) -> dict[str, Any]:
    """Return what a manifest says of the patches and of what plays them."""
    file_of = {soundfont.path: soundfont.file for soundfont in bank.soundfonts}
    patches = [
        [
            patch.name,
            patch.rendering_class,
            patch.preset and [file_of[patch.preset.soundfont], *patch.preset[1:]],
            patch.instrument,
            patch.effects,
            *([read_sample_folder(Path(patch.folder)).fingerprint] if patch.folder else []),
            *([patch.sfz.fingerprint] if patch.sfz else []),
        ]
        for patch in bank.patches
    ]
    return {
        "soundfonts": [
            {"file": s.file, "sha256": s.sha256, "licence": s.licence} for s in bank.soundfonts
        ],
        **_sfz_header(bank),
        "patch_bank": {
            "n_patches": len(bank.patches),
            "sha256": hashlib.sha256(json.dumps(patches).encode()).hexdigest(),
        },
        "synthesis": synthesis(),
        "versions": {
            "stemsmith": package_version("stemsmith"),
            "libfluidsynth": fluid.version(),
            **flac.encoder_version(),
            **{name: package_version(name) for name in _PACKAGES},
            **{name: package_version(name) for name in _packages_of(bank)},
        },
    }


def ordered_versions(bank: Bank, versions: Mapping[str, str]) -> dict[str, str]:
    """Return the versions of a manifest, which sorts them, in the order that `bank_header` has."""
    encoders = ("libflac", "libsndfile")
    known = ("stemsmith", "libfluidsynth", *encoders, *_PACKAGES, *_packages_of(bank))
    names = [name for name in known if name in versions]
    return {name: versions[name] for name in (*names, *sorted(versions.keys() - set(names)))}


def _sfz_header(bank: Bank) -> dict[str, Any]:
    """Return what a manifest says of SFZ instruments; nothing for banks without any."""
    instruments = {patch.sfz.path: patch.sfz for patch in bank.patches if patch.sfz}
    files = [
        {"file": Path(sfz.path).name, "sha256": sfz.fingerprint, "licence": sfz.licence}
        for sfz in instruments.values()
    ]
    return {"sfz_instruments": files} if files else {}


def _packages_of(bank: Bank) -> list[str]:
    """Return the packages that only some banks need."""
    uses_pedalboard = any(patch.effects or patch.instrument for patch in bank.patches)
    uses_soxr = any(patch.folder for patch in bank.patches)
    uses_pysfizz = any(patch.sfz for patch in bank.patches)
    return ["pedalboard"] * uses_pedalboard + ["soxr"] * uses_soxr + ["pysfizz"] * uses_pysfizz
