"""From mixtures to batches: ``clips`` decodes, ``store`` keeps, ``examples`` draws.

``module`` gives batches to a loop, ``loaders`` chooses where they come from.
"""
