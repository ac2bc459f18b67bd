"""One small program for each contender, run by the Python of its own environment."""
