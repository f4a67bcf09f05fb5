"""What reading of training videos costs, beside a plain peer."""
