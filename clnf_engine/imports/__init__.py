"""What other programs print of their fits, as traces."""
