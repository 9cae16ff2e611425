"""Benchmarks: fieldlab beside the bare limit and beside other tools, each doing the same job."""
