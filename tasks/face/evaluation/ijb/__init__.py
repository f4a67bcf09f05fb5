"""The 1:1 protocol of IJB-B and IJB-C."""
