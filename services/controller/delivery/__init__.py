"""The delivery protocol (DESIGN section 6), without I/O: decisions over a log's transactions.

What is here runs unchanged in a tier, where the log is SQLite and messages travel by NATS, and in the
simulation of `tests/property/`, where an adversary drops, doubles, reorders and crashes at will.
"""
