"""What can be asked of the ledger to record: one use case a file."""
