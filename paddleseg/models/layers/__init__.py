"""Building blocks of the networks."""

from paddleseg.models.layers.batch_norms import batch_norms
from paddleseg.models.layers.conv_norm_act import Activation, ConvNormAct
from paddleseg.models.layers.criss_cross_attention import CrissCrossAttention
from paddleseg.models.layers.recompute import Recomputable

__all__ = ["Activation", "ConvNormAct", "CrissCrossAttention", "Recomputable", "batch_norms"]
