"""An HTTP service over an exported model: ``python -m deploy.serving --help``."""
