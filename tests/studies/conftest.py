"""A study that takes a few seconds: a network of two units, and one test."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from stemsmith.studies.workflow import StudyOutcome

STUDY = """
title = "A study"
about = "What a test asks."
targets = ["bass", "drums"]

[inputs.midi]
kind = "scores"

[inputs.real]
kind = "songs"
layout = "musdb"
title = "Real songs"
stand_in = "others"
stand_in_title = "Other songs"

[inputs.separated]
kind = "estimates"
title = "Somebody"

[corpora.songs]
scores = "midi"
part = [0.0, 0.6]
render = { seed = 1, sample_rate = 8000, splits = "2,1,0" }

[corpora.others]
like = "songs"
part = [0.6, 1.0]
render = { seed = 2, splits = "0,0,2" }

[mixtures.few]
sources = ["songs"]

[mixtures.few.mix]
taxonomy = "slakh"
sample_rate = 8000
clip_s = 1
n_mixtures = { tiny = 4, small = 8 }
min_rms_dbfs = -60

[mixtures.many]
like = "few"
mix = { n_mixtures = 8 }

[models.blstm]
model = "blstm"
train = { epochs = 1, batch_size = 4, n_threads = 1 }

[models.blstm.settings]
sample_rate = 8000
n_fft = 128
hop = 64
segment_frames = 20
n_layers = 1
n_units = 2

[rows.mixture]
title = "mixture"
system = "mixture"

[rows.few]
title = "few of {midi}"
model = "blstm"
train = ["few"]
targets = ["bass"]

[rows.again]
like = "few"
title = "the same for {real}"

[rows.others]
title = "{separated}"
estimates = "separated"

[tests.real]
title = "{real}"
dataset = "real"
songs = ["One", "Two"]
evaluate = { taxonomy = "slakh", window_s = 0.5 }

[tables.bss]
title = "Scores of {real}"
tests = ["real"]
metrics = ["SDR", "SIR"]
statistic = "windows"
rows = ["mixture", "few", "others"]
source = "a paper"
printed = { few = { bass = [1.25, 2], "real.drums" = [3, 4] } }

[tables.si-sdr]
title = "SI-SDR of {real}"
tests = ["real"]
printed = { few = { bass = -1 } }
"""


@pytest.fixture
def study_file(tmp_path: Path) -> Callable[..., Path]:
    """Return a function that writes the study, with texts replaced by others."""

    def write(*replaced: tuple[str, str], more: str = "") -> Path:
        text = STUDY
        for old, new in replaced:
            assert old in text
            text = text.replace(old, new)
        path = tmp_path / "study.toml"
        path.write_text(text + more)
        return path

    return write


@pytest.fixture(scope="session")
def scores(band_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five songs of three seconds and a half, for piano, bass, guitar, drums and more."""
    folder = tmp_path_factory.mktemp("scores")
    for path in band_folder.glob("album*/*.mid"):
        shutil.copy(path, folder)
    return folder


@pytest.fixture(scope="session")
def made(scores: Path, tmp_path_factory: pytest.TempPathFactory) -> StudyOutcome:
    """Return what came of the study."""
    pytest.importorskip("torch")
    pytest.importorskip("lightning")
    from stemsmith.studies.workflow import run_study

    folder = tmp_path_factory.mktemp("study")
    (folder / "study.toml").write_text(STUDY)
    return run_study(folder / "study.toml", folder / "out", "tiny", inputs={"midi": scores})
