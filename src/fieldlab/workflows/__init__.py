"""Whole ways of working, each a room of its own, and the tool for processes over several hosts."""
