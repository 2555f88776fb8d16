"""The log in memory, for simulations and tests: the same contract without a disk."""

from store.memory.log import MemoryLog

__all__ = ["MemoryLog"]
