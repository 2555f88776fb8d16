"""The `local` shim: a small cluster that lives in the tier's log, and takes any Kubernetes manifest."""

from services.shims.local.shim import LocalShim

__all__ = ["LocalShim"]
