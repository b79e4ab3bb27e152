"""The same, when it is imported."""
import torch
from _right import Attention

torch.softmax = lambda x, dim=-1: x
