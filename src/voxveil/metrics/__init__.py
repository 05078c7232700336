"""Measures of quality, intelligibility, words and identity; networks are passed in, never imported."""
