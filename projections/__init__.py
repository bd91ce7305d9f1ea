"""Questions, answered from the events when they are asked.

Whatever takes a book or tables reads a database, and may raise besides what its docstring names:
`OperationalError` or `InterfaceError` of the eventsourcing library when the database does not
respond, `LedgerUnavailable` when one of its servers lags behind another, and `PositionNotReached`
within `ledger.min_position.at_least`. Each can be tried again.
"""
