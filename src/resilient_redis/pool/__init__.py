"""The connection pool: a pure ledger that decides, and two shells that do."""
