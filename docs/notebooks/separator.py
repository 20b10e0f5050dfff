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
# # A separator, trained on the shards of a corpus
#
# A network that is much too small, trained on much too little, for a few seconds on a CPU: to see
# how the steps go together. Needs `pip install 'stemsmith[train]'`.

# %%
from importlib.resources import files

import stemsmith

scores = files("stemsmith.cli") / "scores"
corpus = stemsmith.render_corpus(
    scores, "corpus", n_songs=3, splits="1,1,1", seed=1, sample_rate=16000, tail_s=1.0
)

# %% [markdown]
# Mixtures are recipes: excerpts of stems in which the bass plays. With `audio_format` they are
# written as WebDataset shards, too.

# %%
mixtures = stemsmith.mix(
    corpus, "mixtures", target="bass", n_mixtures=12, clip_s=2.0, audio_format="flac", seed=1
)
print(mixtures.splits)
recipe = mixtures[0].record
for source in recipe.sources:
    print(f"{source.group:8} {source.path:32} from {source.start / source.sample_rate:.1f} s")

# %% [markdown]
# The BLSTM of the Slakh paper, with a hundredth of its units.

# %%
run = stemsmith.train_model(
    mixtures,
    "run",
    target="bass",
    epochs=2,
    batch_size=4,
    learning_rate=0.01,
    device="cpu",
    settings={"n_layers": 1, "n_units": 8, "segment_frames": 60},
)
for epoch in run.history:
    print(f"epoch {epoch.epoch}: loss {epoch.validation_loss:.4g}, SI-SDR {epoch.si_sdr_db:.1f} dB")

# %% [markdown]
# A run separates arrays and files of any length and rate.

# %%
track = corpus["Track00003"]
bass = run.separate(track.mixture, track.sample_rate)["bass"]
print(bass.shape)

# %% [markdown]
# And it is scored, here on the one test song.

# %%
results = stemsmith.evaluate_system(run, corpus, "results", bss="none")
results.scores.select(["song", "target", "metric", "value"]).to_pylist()
