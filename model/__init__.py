"""What modeling.py is built of, and the head that reads it."""
