"""One machine-readable card a model (``<name>.toml``), and what reads it."""
