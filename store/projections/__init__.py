"""Projections: what the services ask of a log, kept ready beside its events."""
