"""Generated street scenes with the labels of Cityscapes; `scene.draw` makes one."""
