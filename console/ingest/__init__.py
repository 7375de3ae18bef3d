"""From sources to one frozen Cluster: polling, pacing, reducing, and the messages that carry it to the screens.

Not here: reading a source (`collectors`)."""
