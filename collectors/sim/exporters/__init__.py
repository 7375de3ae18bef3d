"""The exporters of the simulated cluster, for a real Prometheus to scrape: their texts, and an HTTP server for them."""
