"""The separation models that come with stemsmith: a file each, which holds all there is of one.

Such a file has the configuration with the sizes of the paper, the network, and how the paper trains
it, and offers the class under the name ``MODEL``. `stemsmith.train.models.registry.MODELS` finds it
there; nothing else has to know of it.
"""
