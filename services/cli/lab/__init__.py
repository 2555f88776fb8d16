"""The lab: the demo's tree of real tiers on this machine, with links that can be cut."""
