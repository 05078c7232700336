"""Protections: short recipes over ``perturb``, and how they are carried to whole recordings."""
