"""Text to label ids and back; label 0 is blank."""
