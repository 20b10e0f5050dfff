"""Drawing recipes, without reading audio but for pairing.

``recipes`` what all modes share, ``coherent``, ``incoherent`` and ``renditions`` one mode each,
``weights`` what is drawn more often, ``pairing`` and ``partners`` which clips may meet, ``augment``
draws transforms, ``mixtures`` is the plan.
"""
