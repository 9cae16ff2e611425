"""The other side of each comparison, one file each: ``python -m benchmarks.contenders.NAME``.

Each takes how many trials to run and an empty folder to record them in.
"""
