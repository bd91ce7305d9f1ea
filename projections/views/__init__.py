"""Questions about one account, folded from its events."""
