"""What is wrong with a manifest, before anybody knows where in the arguments it stands."""

from __future__ import annotations


class Fault(Exception):
    """`field` is the path in the manifest, `text` what is wrong there, in Kubernetes' words."""

    def __init__(self, field: str, text: str) -> None:
        super().__init__(f"{field}: {text}")
        self.field = field
        self.text = text
