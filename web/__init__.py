"""What Keyfold shows to the outside: HTTP, pages and the command line."""
