"""Questions, answered from the events when they are asked."""
