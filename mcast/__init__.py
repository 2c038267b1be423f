"""Group chat and discovery for the LAN over UDP multicast."""

from .errors import McastError

__version__ = "0.1.0"
__all__ = ["McastError", "__version__"]
