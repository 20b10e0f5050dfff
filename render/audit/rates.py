"""How many stems have defects, by kind: what manifests and commands say."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from stemsmith.manifests.records import Defect, DefectKind

__all__ = ["defect_rates"]


def defect_rates(audits: Sequence[Sequence[Defect]]) -> dict[str, Any]:
    """Return numbers and rates of stems with defects.

    Parameters
    ----------
    audits : sequence of sequences of Defect
        What was found, stem by stem.

    Returns
    -------
    dict of str to object
        ``n_stems`` and ``n_defective``, and under ``kinds`` the number of stems and their share,
        for each kind that was found.

    Examples
    --------
    >>> from stemsmith.manifests.records import Defect, DefectKind
    >>> defect_rates([(), (Defect(DefectKind.DROPOUT, 0, 220, 5.0),)])["kinds"]
    {'dropout': {'n_stems': 1, 'rate': 0.5}}
    """
    counts = Counter(kind for audit in audits for kind in {defect.kind for defect in audit})
    return {
        "n_stems": len(audits),
        "n_defective": sum(bool(audit) for audit in audits),
        "kinds": {
            str(kind): {"n_stems": counts[kind], "rate": round(counts[kind] / len(audits), 6)}
            for kind in DefectKind
            if counts[kind]
        },
    }
