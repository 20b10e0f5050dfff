"""From MIDI files to corpora of stems: `scan`, `render_corpus`, `render_renditions`, `render_midi`.

``workflow`` has what the commands do that make something, ``checking`` that of those that look at
it. Below them: ``midi`` reads files and rescues what is musically intact, splits them into parts
and times them; ``sound`` makes audio of parts, by soundfonts, recorded notes and plug-ins, and
knows the patch banks; ``corpus`` has what all corpora share, such as options and the choice of
songs; ``songs`` renders and checks corpora like Slakh2100, ``renditions`` corpora with many
performances of each score; ``matched`` renders stems of corpora again, to match other songs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from stemsmith.manifests.lazy import lazily

if TYPE_CHECKING:
    from stemsmith.render.checking import audit_corpus, validate_corpus
    from stemsmith.render.corpus.config import RenderConfig
    from stemsmith.render.renditions.config import RenditionConfig
    from stemsmith.render.workflow import (
        make_bank,
        render_corpus,
        render_midi,
        render_renditions,
        scan,
    )

__all__ = [
    "RenderConfig",
    "RenditionConfig",
    "audit_corpus",
    "make_bank",
    "render_corpus",
    "render_midi",
    "render_renditions",
    "scan",
    "validate_corpus",
]

_HOMES: Final = {
    **dict.fromkeys(__all__, "workflow"),
    "audit_corpus": "checking",
    "validate_corpus": "checking",
    "RenderConfig": "corpus.config",
    "RenditionConfig": "renditions.config",
}

__getattr__, __dir__ = lazily(__name__, _HOMES)
