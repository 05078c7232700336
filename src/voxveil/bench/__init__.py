"""The benchmark: a grid of scenarios, each a part for every station from protection to verdict."""
