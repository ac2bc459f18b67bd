"""Processors, one file each. Yours goes here."""
