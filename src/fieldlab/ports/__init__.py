"""What the engine asks of the rest: one small family of protocols for each kind of neighbour."""
