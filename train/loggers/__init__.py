"""What can write the results of every epoch: a file each, which offers its class as ``LOGGER``.

A logger is a `stemsmith.train.report.Logger`.
"""
