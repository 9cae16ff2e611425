"""Files as RTI Perftest writes them, its wide lines as they are."""
# ruff: noqa: E501

from __future__ import annotations

LATENCY = """
Intervals One-Way Latency for 100 Bytes:
Length (Bytes), Latency (\N{GREEK SMALL LETTER MU}s), Ave (\N{GREEK SMALL LETTER MU}s), Std (us), Min (us), Max (us)
           100,          120,      120,      0.0,      120,      120
           100,          140,      130,     10.0,      120,      140
           100,         8200,8208329,39504353.6,     120,201738760

One-way Latency Summary:
Sample Size (Bytes), Ave (us), Std (us), Min (us), Max (us), 50% (us), 90% (us), 99% (us), 99.99% (us), 99.9999% (us)
           100,  8208329,39504353.6,      120,201738760,   132562,   281689,201738760,   201738760,     201738760
"""

THROUGHPUT = """
Interval Throughput for 100 Bytes:
Length (Bytes), Total Samples,  Samples/s, Avg Samples/s,     Mbps,  Avg Mbps, Lost Samples, Lost Samples (%)
           100,          1000,       1000,          1000,      0.8,       0.8,            0,             0.00
           100,          3000,       2000,          1500,      1.6,       1.2,           10,             0.33

Throughput Summary:
Sample Size (Bytes), Total Samples, Avg Samples/s,    Avg Mbps, Lost Samples, Lost Samples (%)
           100,          3000,          1500,         1.2,           10,             0.33
"""


def unfinished(text: str) -> str:
    """Cut the summary off, as a program leaves it that was ended early."""
    return text.rsplit("\n\n", 1)[0] + "\n"
