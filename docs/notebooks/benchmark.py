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
# # A benchmark on MUSDB18's test songs
#
# With MUSDB18 at hand, `musdb = "musdb:/data/musdb18hq"` is all that changes. Here the folder is
# made: songs of a corpus, exported in MUSDB18-HQ's layout. Needs
# `pip install 'stemsmith[evaluate]'`.

# %%
from importlib.resources import files

import stemsmith
from stemsmith.share import export_dataset

scores = files("stemsmith.cli") / "scores"
corpus = stemsmith.render_corpus(
    scores, "corpus", n_songs=3, splits="1,0,2", seed=1, sample_rate=16000, tail_s=1.0
)
export_dataset("corpus", "musdb18", "musdb", taxonomy="musdb")
musdb = "musdb:musdb18"

# %% [markdown]
# The unprocessed mixture is the floor, and a mask made of the true sources what masks can reach.

# %%
systems = ("mixture", "oracle:irm", "oracle:tpsa")
targets = ["drums", "bass", "other"]
results = {
    system: stemsmith.evaluate_system(
        system, musdb, f"results/{system.replace(':', '-')}", targets=targets, window_s=1.0
    )
    for system in systems
}

# %% [markdown]
# SI-SDR: means over songs, with 95 % intervals. BSS Eval: medians over songs of the medians over
# frames. All scores are in the table `scores`.

# %%
for system, found in results.items():
    for target in targets:
        score = found.summary["scores"][target]
        print(
            f"{system:12} {target:6} SI-SDR {score['SI-SDR']['mean']:6.2f} dB   "
            f"SDR {score['SDR']['median']:6.2f} dB"
        )

# %% [markdown]
# Estimates of any program are scored from its files, `DIR/SONG/TARGET.wav`, as `estimates:DIR`;
# here the references themselves, which no one will beat.

# %%
perfect = stemsmith.evaluate_system(
    "estimates:musdb18", musdb, "results/perfect", targets=["bass"], bss="none"
)
perfect.scores.select(["song", "metric", "value"]).to_pylist()
