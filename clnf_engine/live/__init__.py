"""Fits of another program while they run: who tells of them, and what is in their folders by now."""
