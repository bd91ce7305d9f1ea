"""One pure module for each kind of stream: facts, state, fold, decisions, in that order."""
