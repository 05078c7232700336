"""Speaker verification: embedder × scorer × calibrated threshold."""
