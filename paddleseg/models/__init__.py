"""Networks. Importing this package registers every model and backbone."""

from paddleseg.models import backbones
from paddleseg.models.ccnet import CCNet

__all__ = ["CCNet", "backbones"]
