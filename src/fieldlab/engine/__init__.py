"""Runs campaigns: takes work from the store, gives it to an executor, records how it ends."""
