"""The bus: topics, groups of consumers, leases and replies, over whatever keeps the messages."""
