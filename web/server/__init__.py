"""Serving: the processes, their HTTP server, and what runs beside requests."""
