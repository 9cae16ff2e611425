"""Places that results go, and ways to tell people."""
