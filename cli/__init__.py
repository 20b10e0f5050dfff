"""The command line: wires stages to options, workers and the terminal.

``main`` the click group, ``options`` what commands share, ``console`` progress and summaries; one
file a command beside them.
"""
