"""The way up: where a tier is attached, where else it could be, and who decides."""
