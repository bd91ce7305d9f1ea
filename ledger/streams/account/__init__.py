"""The account stream: its state, the decisions on it, and what it has at Stripe."""
