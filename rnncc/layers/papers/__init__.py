"""Cells that users ask every framework for: each is the equations of its paper, and compiled as any cell is."""

from rnncc.layers.papers.elementwise import IndRNNCell, SRUCell
from rnncc.layers.papers.grus import LayerNormGRUCell, MinimalGRUCell
from rnncc.layers.papers.lstms import (
    CoupledGateLSTMCell,
    LayerNormLSTMCell,
    PeepholeLSTMCell,
    ProjectedLSTMCell,
    ZoneoutLSTMCell,
)
