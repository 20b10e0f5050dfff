"""The command line: wires stages to options, workers and the terminal.

``main`` the click group, ``options`` what commands share, ``cluster`` the workers (the only file
that imports dask), ``console`` progress and summaries, one file a command beside them.
"""
