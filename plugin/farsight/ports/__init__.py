"""What the services need from the outside, as Protocols in domain words."""
