"""Machines: what runs on them, and what is there."""
