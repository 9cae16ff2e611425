"""What things are: the standard library only, and no input or output."""
