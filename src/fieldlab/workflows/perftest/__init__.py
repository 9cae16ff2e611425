"""Benchmarks of middleware over machines: the tools, and AutoPerf's configurations and data."""
