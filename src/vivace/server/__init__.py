"""Servers: other protocols in front of agents."""
