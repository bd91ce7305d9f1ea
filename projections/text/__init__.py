"""What happened, in sentences for people."""
