"""Streams in motion: the only place that starts tasks and reads the clock."""
