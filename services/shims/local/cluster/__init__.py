"""What the local cluster does by itself: nodes, pods, and the controllers of Deployments and ReplicaSets."""

from services.shims.local.cluster.controllers import settle
from services.shims.local.cluster.nodes import NODES, Capacity, furnish, parse_nodes
from services.shims.local.cluster.workloads import check
from services.shims.local.cluster.world import KINDS

__all__ = ["KINDS", "NODES", "Capacity", "check", "furnish", "parse_nodes", "settle"]
