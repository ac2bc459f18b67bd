"""The outside world of models, one file each."""
