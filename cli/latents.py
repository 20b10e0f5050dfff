"""`stemsmith latents`: where sources lie in the latent space of a trained ResNet."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from stemsmith.cli.options import (
    ANY_PATH,
    LOCAL_PATH,
    SOURCE,
    Common,
    command,
    config_options,
    read_config,
    serial_options,
)
from stemsmith.evaluate.benchmark.latent_options import LatentConfig

if TYPE_CHECKING:
    from stemsmith.evaluate.benchmark.latents import LatentMap

__all__ = ["latents"]


@command(
    "stemsmith latents runs/shared musdb:musdb18hq --plot shared.svg",
    "stemsmith latents runs/separate corpus --segments 50 --csv points.csv",
)
@click.argument("run", type=ANY_PATH)
@click.argument("dataset", type=SOURCE)
@config_options(LatentConfig)
@click.option("--plot", type=LOCAL_PATH, metavar="FILE.svg", help="Draw the map.")
@click.option("--csv", "csv_file", type=LOCAL_PATH, metavar="FILE", help="Write a row a point.")
@serial_options
def latents(
    run: Path,
    dataset: str,
    plot: Path | None,
    csv_file: Path | None,
    common: Common,
    **options: Any,
) -> None:
    """Map the sources of a DATASET in the latent space of RUN, a resnet, by t-SNE.

    A point is a segment of a song and a source that sounds in it, as the network finds it in the
    mixture. The silhouette says how far sources are apart: 1 is far, 0 is not at all. DATASET is as
    of `stemsmith evaluate`.
    """
    from stemsmith.cli.console import (
        Summary,
        Terminal,
        check_replaceable,
        print_rejections,
        print_summary,
        print_table,
    )
    from stemsmith.evaluate.benchmark.systems import require_torch
    from stemsmith.manifests.errors import UsageError
    from stemsmith.manifests.storage import write_atomic
    from stemsmith.share.latent_plot import latent_plot

    config = read_config(LatentConfig, options)
    if plot is not None and plot.suffix.lower() != ".svg":
        raise UsageError(f"--plot {plot}: a picture is SVG; call it {plot.stem}.svg")
    for path, begin in ((plot, b"<svg "), (csv_file, b"song,target,")):
        if path is not None:
            check_replaceable(path, begin, "map")
    require_torch()
    from stemsmith.evaluate.benchmark.latents import map_latents

    found = map_latents(run, dataset, config, progress=Terminal(common))
    if plot is not None:
        write_atomic(plot, latent_plot(found).encode())
    if csv_file is not None:
        write_atomic(csv_file, found.to_csv().encode())
    print_rejections(common, list(found.rejections))
    if not common.is_json and not common.is_quiet:
        counts = dict.fromkeys(found.silhouettes, 0)
        for point in found.points:
            counts[point.target] += 1
        rows = [(t, counts[t], round(value, 3)) for t, value in found.silhouettes.items()]
        print_table("In the latent space", ("target", "segments", "silhouette"), rows)
    print_summary(common, Summary(_line(found), found.to_dict()))


def _line(found: LatentMap) -> str:
    decoders = "a shared decoder" if found.is_decoder_shared else "separate decoders"
    return (
        f"{found.run}: {len(found.points)} segments of {len(found.silhouettes)} sources, "
        f"{decoders}; silhouette {found.silhouette:.3f}, on the map {found.map_silhouette:.3f}"
    )
