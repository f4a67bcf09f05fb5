"""What is behind :func:`normlib.functional.switch_norm`: passes, autograd, collectives, choice."""
