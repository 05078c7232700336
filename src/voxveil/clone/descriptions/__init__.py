"""Descriptions of cloning programs (``<name>.toml``), and short scripts where a program lacks a command line."""
