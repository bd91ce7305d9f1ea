"""Worlds to look at and to learn from; of the product only `keyfold demo` depends on them."""
