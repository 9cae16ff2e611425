"""Attempts on hosts: processes that start together on several machines."""
