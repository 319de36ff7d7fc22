"""One run: the checked job, the graph, training, validation, evaluation."""
