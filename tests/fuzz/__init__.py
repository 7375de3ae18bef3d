"""Every parser of outside text under bytes that nobody meant: `targets` are run by atheris and by pytest alike."""
