"""What can be asked of the ledger to record: one use case a file.

Every command may raise besides what its docstring names: `LedgerBusy` when others kept writing to
its streams, `LedgerUnavailable` when the database cannot be reached or one of its servers lags
behind another, `MixedClocks` when the ledger's events are on another clock, and, while it reads,
`OperationalError` or `InterfaceError` of the eventsourcing library when the database does not
respond. All but `MixedClocks` can be tried again.
"""
