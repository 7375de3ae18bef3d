"""The pages of docs/ that are made from code. `make docs` writes them, a test holds that they are current."""
