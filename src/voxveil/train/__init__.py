"""Training: how the parameters of models and scorers are found from recordings."""
