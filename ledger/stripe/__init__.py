"""Stripe's objects: read, put into facts, and ranked against each other. Pure."""
