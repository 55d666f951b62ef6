"""What isn't pixels, for people: reports and other objects as HTML or text (PS3.18 8.7.4)."""
