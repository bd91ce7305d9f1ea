"""The book and its rules: what happened, and what may happen next."""
