"""What the parts of a face training cost, beside plain peers."""
