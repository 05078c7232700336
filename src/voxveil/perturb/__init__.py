"""Adversarial perturbation: objective × carrier (with its budget) × solver × gradient, over expected transforms."""
