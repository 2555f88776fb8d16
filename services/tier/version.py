"""The version of this program, which to find takes reading files."""

from importlib.metadata import version

VERSION = version("ote-bus")
