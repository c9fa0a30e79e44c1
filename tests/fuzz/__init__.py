"""Bad input of every kind, made by chance, for every format and command: `make fuzz`."""
