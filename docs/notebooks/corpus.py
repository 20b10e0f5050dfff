# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # A corpus from a folder of MIDI files
#
# Here of three of the scores that come with stemsmith; a folder of your own does as well. It takes
# a few seconds. Start Jupyter in a folder that is not the clone.

# %%
from importlib.resources import files

import stemsmith

scores = files("stemsmith.cli") / "scores"
inventory = stemsmith.scan(scores)
print(f"{len(inventory)} files, {inventory.songs.num_rows} songs")

# %% [markdown]
# `render_corpus` draws songs in which piano, bass, guitar and drums play, and a patch for each
# part. Small numbers keep this quick: by default audio has 44,100 Hz and a tail of 5 s.

# %%
corpus = stemsmith.render_corpus(
    scores, "corpus", n_songs=3, splits="1,1,1", seed=1, sample_rate=16000, tail_s=1.0
)
corpus.songs.select(["track", "split", "source", "n_stems"]).to_pylist()

# %% [markdown]
# A row a stem: what plays, how loud it is, how many notes it has.

# %%
for stem in corpus.stem_records():
    if stem.track == "Track00001":
        print(f"{stem.stem}  {stem.rendering_class:28} {stem.n_notes:5} notes  {stem.patch}")

# %% [markdown]
# Audio is float32, (n_channels, n_samples), read when it is asked for. The mixture is the exact sum
# of the stems.

# %%
import numpy as np

track = corpus["Track00001"]
total = sum(stem.audio for stem in track.stems.values())
print(track.mixture.shape, float(np.abs(total - track.mixture).max()))

# %% [markdown]
# Notes say when the synthesiser starts and releases each voice, in samples.

# %%
track.stems["S00"].notes.slice(0, 3).to_pylist()

# %% [markdown]
# Everything that was written is checked: checksums, sums, loudness, peaks, duplicates.

# %%
stemsmith.validate(corpus)
