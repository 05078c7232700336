"""Cloning: what an attacker does with a reference, to test protections."""
