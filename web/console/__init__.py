"""Pages for the vendor's staff and its resellers, under /console, in HTML that works without a
script.

Like the customer's pages they decide nothing: they read projections, run commands, and say what
came of it. Who looks is known by a token; what it may see is what it may see over HTTP.
"""
