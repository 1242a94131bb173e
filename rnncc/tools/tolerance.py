"""By how much results may differ where products are computed in less than the dtype of the model."""

from __future__ import annotations

COARSE = {"bfloat16": 3e-2}
"""Relative distance that is right where factors have 8 bits. Any other precision is as exact as float32."""
