"""Outlets: where results and messages to people go."""
