"""Files in and out: models, landmarks, images."""
