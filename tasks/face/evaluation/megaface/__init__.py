"""MegaFace: probes matched against up to a million distractors."""
