"""What is written about the answers of a video classifier."""
