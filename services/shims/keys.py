"""Which objects a verb touches: what all services know of it, under the name that the shims use."""

from services.tier.objects import CLUSTER_SCOPED, DEFAULT_NAMESPACE, manifests_in, objects_in

__all__ = ["CLUSTER_SCOPED", "DEFAULT_NAMESPACE", "manifests_in", "objects_in"]
