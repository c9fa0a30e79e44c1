"""Reports: what was found, as one HTML file for a reader who was not there."""
