"""The picture of a latent space: Brunner et al. 2019, Fig. 3."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stemsmith.share.charts import Caption, scatter

if TYPE_CHECKING:
    from stemsmith.evaluate.benchmark.latents import LatentMap

__all__ = ["latent_plot"]


def latent_plot(found: LatentMap) -> str:
    """Draw where the sources lie, each in a colour of its own.

    Parameters
    ----------
    found : LatentMap
        What `stemsmith.evaluate.map_latents` returned.

    Returns
    -------
    str
        An SVG element.
    """
    series = {
        target: (
            [point.x for point in found.points if point.target == target],
            [point.y for point in found.points if point.target == target],
        )
        for target in found.silhouettes
    }
    decoders = "a shared decoder" if found.is_decoder_shared else "separate decoders"
    title = f"Latents of sources with {decoders}, t-SNE"
    said = (
        f"{len(found.points)} segments; mean silhouette {found.silhouette:.2f} in the latent space "
        f"and {found.map_silhouette:.2f} here."
    )
    return scatter(series, Caption(title, said))
