"""What the parent libraries lack, one sub-package a task; `toy_data` serves all of them."""
