"""What can be done with the weights of a trained model."""
