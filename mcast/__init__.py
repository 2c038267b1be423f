"""Group chat and discovery for the LAN over UDP multicast."""

from .errors import McastError

__all__ = ["McastError"]
