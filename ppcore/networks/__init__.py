"""What is the model? One file an architecture; each cites its paper and states its parameter count."""
