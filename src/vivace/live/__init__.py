"""Conversations: a turn-based model made live, and the prompt that rolls along."""
