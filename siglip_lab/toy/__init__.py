"""The toy world of shapes, the training of tiny on it, and its measurement."""
