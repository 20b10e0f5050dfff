"""BSS Eval v4 and v3: ``bsseval`` derives it, its steps are the modules beside it."""
