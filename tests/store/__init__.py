"""The three stores are held to one contract, and to what can go wrong."""
