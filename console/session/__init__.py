"""A cluster as this process has it open:
its sources, its gate, what was seen and done, and a snapshot of it as JSON.
"""
