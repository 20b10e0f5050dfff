"""Numbers: ``ratios`` (SI-SDR and its kin), ``bsseval``, and museval as engine and file format."""
