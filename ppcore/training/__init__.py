"""How is it trained? `loop` carries a run to its end; one file a method holds its equations."""
