"""Is the ledger what it was: the tree, verification, rebuilding, export and receipts."""
