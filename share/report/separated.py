"""The page of recordings that were separated: each can be mixed anew.

Remixing is the use that Martel and Miron (2017, section 2) separate for, and what their web demo
shows: each target has a level, mute, solo and a place between left and right, and the new mix can
be downloaded.
"""

from __future__ import annotations

from stemsmith.manifests.jobs import Progress
from stemsmith.share.report.config import ReportConfig
from stemsmith.share.report.content import DataTable, PageSection, Prose
from stemsmith.share.report.listening import recording_players
from stemsmith.share.report.subjects import SeparatedFolder

__all__ = ["separated_sections"]


def separated_sections(
    separated: SeparatedFolder, config: ReportConfig, progress: Progress
) -> list[PageSection]:
    """Return the sections of a folder of separated recordings.

    Parameters
    ----------
    separated : SeparatedFolder
        What was separated.
    config : ReportConfig
        How many recordings, which ones, and how long.
    progress : Progress
        Is told how far the work is, and warned of files that cannot be read.
    """
    rows = [
        (name, len(files), ", ".join(file.stem for file in files))
        for name, files in separated.recordings
    ]
    players = recording_players(separated.recordings, config, progress)
    words = (
        "Each estimate has a level, a place between left and right, mute and solo. The mix that "
        "results can be downloaded as a WAV file."
    )
    return [
        PageSection("Remix", [Prose(words), *players]),
        PageSection(
            "Recordings",
            [DataTable("What was separated", ("recording", "files", "targets"), rows)],
        ),
    ]
