"""The event log of a tier: what happened, kept in order, and what follows from it.

`api` is the contract, `sql` and `memory` keep it, `projections` says what follows from events, and
`verify` checks a file. The store knows nothing of how events travel.
"""
