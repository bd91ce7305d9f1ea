"""What Keyfold costs, against the database under it."""
