"""Measures of quality, intelligibility and identity; networks are passed in, never imported."""
