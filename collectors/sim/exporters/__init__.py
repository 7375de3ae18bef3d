"""The text that the exporters of the simulated machine would serve, for a real Prometheus to scrape."""
