"""Pages for people: the customer's under /portal, in HTML that works without a script.

The pages decide nothing: they read projections, run commands, and say in words what came of it.
"""
