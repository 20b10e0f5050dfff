"""What exporting costs, beside reading the stems and writing as many bytes.

    python benchmarks/export.py CORPUS [--format musdb --format slakh ...]

For each format: CPU seconds of `export_dataset` in this process, bytes written, and the ratio to
the floor: decode all stems of the corpus once, and write and hash as many bytes.
"""

from __future__ import annotations

import argparse
import hashlib
import shutil
import tempfile
import time
from pathlib import Path

from stemsmith.manifests.corpus import Corpus
from stemsmith.manifests.errors import UsageError
from stemsmith.share import export_dataset
from stemsmith.share.exports.formats import FORMATS


def decode_s(corpus: Corpus) -> float:
    """Return the CPU seconds that it takes to decode all stems."""
    started = time.process_time()
    for track in corpus.values():
        for stem in track.stems.values():
            assert stem.audio.size
    return time.process_time() - started


def write_s(n_bytes: int, folder: Path) -> float:
    """Return the CPU seconds that it takes to write and hash so many bytes."""
    block = bytes(range(256)) * 4096
    started = time.process_time()
    with (folder / "floor").open("wb") as file:
        for _ in range(n_bytes // len(block)):
            file.write(block)
    with (folder / "floor").open("rb") as file:
        hashlib.file_digest(file, "sha256")
    return time.process_time() - started


def main() -> None:
    """Print one line for each format."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--format", action="append", choices=FORMATS.names)
    arguments = parser.parse_args()
    corpus = Corpus(arguments.corpus)
    decoding_s = decode_s(corpus)
    print(f"{len(corpus)} songs, decoding all stems: {decoding_s:.2f} CPU s")
    print("format            CPU s      MB   floor CPU s   ratio")
    for name in arguments.format or FORMATS.names:
        with tempfile.TemporaryDirectory(dir=arguments.corpus.parent) as folder:
            started = time.process_time()
            try:
                export_dataset(arguments.corpus, Path(folder, "x"), name)
            except UsageError:
                continue  # of something that is no corpus of songs
            taken_s = time.process_time() - started
            files = [p for p in Path(folder, "x").rglob("*") if p.is_file()]
            n_bytes = sum(p.stat().st_size for p in files if p.stat().st_nlink == 1)
            shutil.rmtree(Path(folder, "x"))
            floor_s = decoding_s + write_s(n_bytes, Path(folder))
            print(
                f"{name:16} {taken_s:6.2f} {n_bytes / 1e6:7.1f} {floor_s:13.2f} "
                f"{taken_s / floor_s:7.2f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
