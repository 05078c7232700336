"""Cloners that are composed of several models: one TOML file each."""
