"""Operators behind :func:`normlib.functional.switch_norm`: passes, autograd, collectives, backends."""
