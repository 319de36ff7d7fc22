"""From raw dumps to data/<name>.txt, and from there to masked instances."""
